"""Receives OTLP and draws the first whole trace that it gets: an example for docs/traces.md, and a look without Jaeger.

python -m tools.show_trace --listen 127.0.0.1:4317          # waits
OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317 PACELINE_ORCHESTRATOR_TRACE_RATIO=1 paceline up
paceline generate "Write quicksort in C." --max-tokens 24
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence

from tests.otlp_receiver import ReceivedSpan, otlp_receiver

_WIDTH = 48
_QUIET_SECONDS = 3.0
_ROOTS = ("paceline.generate", "text_completion")


def main() -> None:
    """Wait for a trace, draw it, end."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--listen", default="127.0.0.1:4317", help="HOST:PORT")
    parser.add_argument("--rounds", default="3-5", help="which rounds to draw, FIRST-LAST")
    options = parser.parse_args()
    first, last = map(int, options.rounds.split("-"))
    with otlp_receiver(options.listen) as receiver:
        print(f"waiting for a trace at {receiver.endpoint}")
        trace_id = _first_trace(receiver.spans)
        spans = [span for span in receiver.spans if span.trace_id == trace_id]
    print("\n".join(waterfall(spans, range(first, last + 1))))


def _first_trace(spans: Sequence[ReceivedSpan]) -> str:
    """Return the first trace whose request is over, once nothing more of it has come for a while."""
    num_spans, changed_at = 0, time.monotonic()
    while True:
        over = [span for span in spans if span.name.startswith(_ROOTS[1])]
        if len(spans) != num_spans:
            num_spans, changed_at = len(spans), time.monotonic()
        if over and time.monotonic() - changed_at > _QUIET_SECONDS:
            return over[0].trace_id
        time.sleep(0.1)


def waterfall(spans: Sequence[ReceivedSpan], rounds: range) -> Iterator[str]:
    """Yield a line a span, parts below the whole; of the rounds only some."""
    children: dict[str, list[ReceivedSpan]] = defaultdict(list)
    known = {span.span_id for span in spans}
    for span in sorted(spans, key=lambda span: span.started_ns):
        children[span.parent_id if span.parent_id in known else ""].append(span)
    drawn = [
        span
        for span in spans
        if span.name == "paceline.round" and span.attributes["paceline.round"] in rounds
    ]
    begin = min(span.started_ns for span in drawn)
    end = max(span.ended_ns for span in drawn)

    def lines(parent: str, depth: int) -> Iterator[str]:
        for span in children[parent]:
            if span.name == "paceline.round" and span.attributes["paceline.round"] not in rounds:
                continue
            yield _line(span, depth, begin, end)
            yield from lines(span.span_id, depth + 1)

    yield f"{'':38} {'service':12} {'ms':>7}  {_marks(begin, end)}"
    yield from lines("", 0)


def _line(span: ReceivedSpan, depth: int, begin: int, end: int) -> str:
    scale = _WIDTH / (end - begin)
    first = min(max(0, int((span.started_ns - begin) * scale)), _WIDTH - 1)
    last = min(max(first + 1, round((span.ended_ns - begin) * scale)), _WIDTH)
    bar = " " * first + "█" * (last - first)
    name = "  " * depth + span.name.removeprefix("paceline.") + _note(span)
    service = span.service.removeprefix("paceline-")
    return f"{name:38.38} {service:12} {1000 * span.seconds:7.1f}  {bar.ljust(_WIDTH)}".rstrip()


def _note(span: ReceivedSpan) -> str:
    if span.name != "paceline.round":
        return ""
    about = span.attributes
    accepted = f"{about['paceline.num_accepted_tokens']}/{about['paceline.num_draft_tokens']}"
    events = "".join(f", {event.removeprefix('paceline.')}" for event in span.events)
    return f" {about['paceline.round']}: {accepted}{events}"


def _marks(begin: int, end: int) -> str:
    return f"0{1000 * (end - begin) / 1e9:>{_WIDTH - 4}.0f} ms"


if __name__ == "__main__":
    main()
