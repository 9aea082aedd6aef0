"""Cache strategies compared: what a round keeps of the KV, and the precision that the KV is held in.

A strategy is KV:UPDATE, for target and draft alike: KV is a precision or auto, UPDATE keep, partial or rebuild
(`paceline.engine.admission.CacheUpdate`). Both models compute in this process and take turns, greedily: the draft
proposes, the target judges, and both go on behind the last id that was accepted. Measured are

- speed: tokens a second of such rounds, and seconds of a round behind contexts of several lengths;
- memory: bytes of KV a token, and what the session holds between two rounds;
- exactness: every strategy reads the same text, the end of it in rounds that refuse some of their drafts, and each
  position's logits are compared with those of the first strategy.

Models are loaded once for each precision. Strategies take turns, each repeat beginning with another one and with an
empty cache, so that what else the machine does falls on all of them alike.

    python -m benchmarks.cache_strategies --pair reference --cores 0,1
    python -m benchmarks.cache_strategies --pair tiny --strategies auto:keep,u8:keep,u8:partial --contexts 64 --json
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from time import monotonic, process_time
from typing import NamedTuple, cast, get_args

import numpy as np

from paceline.cli.benchmark.machine import this_machine, versions
from paceline.cli.benchmark.prompt_set import BenchPrompt, read_prompts
from paceline.cli.benchmark.spread import Spread, spread_of
from paceline.cli.evaluation.reading.chats import encoded_prompts
from paceline.cli.evaluation.reading.texts import Ids
from paceline.engine.engine import CacheUpdate, Engine, EngineConfig, EngineInfo, load_runner
from paceline.engine.model_runner import ModelRunner
from paceline.engine.task import Pass
from paceline.engine.work import Logits, TokenIds, Work, WorkResult
from paceline.errors import PacelineError
from paceline.models.catalog import PAIRS, Pair, find_pair
from paceline.models.prepare import prepare
from paceline.models.tokenizer import Tokenizer
from paceline.sampling.logprobs import token_logprobs

KV_CACHE_BYTES = 128 << 20
STRATEGIES = "auto:keep,auto:partial,auto:rebuild,u8:keep,u4:keep"
# As the draft service has it by default.
DRAFT_GROUP_SIZE = 128
# Of a text that is read, so many ids come in rounds.
NUM_READ_IN_ROUNDS = 32
# Rounds behind one context; one alone where it computes everything again.
NUM_ROUNDS = 4


class Strategy(NamedTuple):
    """A precision of the KV, and what a round keeps of it."""

    kv: str
    update: CacheUpdate

    @classmethod
    def parse(cls, text: str) -> "Strategy":
        """Read KV:UPDATE; argparse reports the ValueError."""
        kv, _, update = text.partition(":")
        if not kv or update not in get_args(CacheUpdate):
            raise ValueError(text)
        return cls(kv, cast("CacheUpdate", update))

    @property
    def name(self) -> str:
        return f"{self.kv}:{self.update}"


@dataclass(frozen=True)
class LoadedModel:
    """A compiled model, on which one engine at a time can be put."""

    config: EngineConfig
    runner: ModelRunner
    info: EngineInfo

    @classmethod
    def load(cls, config: EngineConfig) -> "LoadedModel":
        """Compile and test it; raises what `load_runner` raises."""
        return cls(config, *load_runner(config))

    def engine(self, update: CacheUpdate, num_rows: list[int] | None = None) -> Engine:
        """Return an engine with an empty cache, which appends the rows of each pass to `num_rows`."""

        def note(ran: Pass) -> None:
            if num_rows is not None:
                num_rows.append(ran.batch_rows)

        return Engine(self.runner, self.info, replace(self.config, cache_update=update), note)


class Models(NamedTuple):
    """Target and draft with KV of one precision."""

    target: LoadedModel
    draft: LoadedModel

    @classmethod
    def load(cls, pair: Pair, kv: str, arguments: argparse.Namespace) -> "Models":
        """Load both; raises PacelineError where they do not compute with this KV."""
        num_threads = len(arguments.cores)
        target = EngineConfig(
            prepare(pair.target.name, arguments.target_weights),
            KV_CACHE_BYTES,
            num_threads,
            kv_precision=kv,
            batch_invariant="prefer",
        )
        draft = EngineConfig(
            prepare(pair.draft.name, arguments.draft_weights),
            KV_CACHE_BYTES,
            num_threads,
            kv_precision=kv,
            activation_group_size=DRAFT_GROUP_SIZE,
            head="fast",
            batch_invariant="off",
        )
        return cls(LoadedModel.load(target), LoadedModel.load(draft))


class Side:
    """A session's sequence at one model."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sequence = engine.open_sequence()

    def run(self, position: int, ids: Sequence[int], num_selected: int = 0, num_drawn: int = 0) -> WorkResult:
        """Go on with ids from a position."""
        work = Work(self._sequence, position, np.array(ids, np.int64), num_selected, num_drawn)
        return self._engine.submit(work).future.result()

    def close(self) -> None:
        self._engine.close_sequence(self._sequence)


class Session:
    """One text on both models, round after round.

    Attributes:
        ids: The prompt's and all that were accepted or chosen since.
        num_rounds: Rounds so far.
        num_accepted: Draft tokens that were accepted.
    """

    def __init__(self, target: Engine, draft: Engine, ids: Sequence[int], num_draft_tokens: int) -> None:
        self._target, self._draft = Side(target), Side(draft)
        self._num_draft_tokens = num_draft_tokens
        self._is_known = False  # whether both models know all ids but the last
        self.ids = list(ids)
        self.num_rounds = self.num_accepted = 0

    def feed(self) -> None:
        """Compute the KV of all ids but the last."""
        for side in (self._target, self._draft):
            side.run(0, self.ids[:-1])
        self._is_known = True

    def play_round(self) -> None:
        """Propose, judge, and go on behind the last accepted id."""
        position = len(self.ids) - 1 if self._is_known else 0
        known = self.ids[position:]
        proposal = self._draft.run(position, known, num_selected=1, num_drawn=self._num_draft_tokens - 1)
        draft_ids = [*proposal.selected_ids.tolist(), *proposal.drawn_ids.tolist()]
        verdict = self._target.run(position, [*known, *draft_ids], num_selected=len(draft_ids) + 1)
        chosen = verdict.selected_ids.tolist()
        num_accepted = sum(1 for _ in agreeing(draft_ids, chosen))
        self.ids += chosen[: num_accepted + 1]
        self.num_rounds += 1
        self.num_accepted += num_accepted
        self._is_known = True

    def close(self) -> None:
        self._target.close()
        self._draft.close()


def agreeing(draft_ids: Sequence[int], chosen: Sequence[int]) -> Iterator[int]:
    """Yield draft tokens as long as the target has chosen the same."""
    for drafted, own in zip(draft_ids, chosen, strict=False):
        if drafted != own:
            return
        yield drafted


@dataclass
class Measured:
    """What a strategy was seen to cost; lists have an element a repeat, or a round."""

    tokens_per_second: list[float] = field(default_factory=list)
    cpu_seconds_per_token: list[float] = field(default_factory=list)  # of the whole process
    num_accepted_per_round: list[float] = field(default_factory=list)
    round_seconds: dict[int, list[float]] = field(default_factory=dict)  # by tokens of context
    round_cpu_seconds: dict[int, list[float]] = field(default_factory=dict)  # of the whole process
    target_rows: dict[int, list[int]] = field(default_factory=dict)  # computed by the target in a round
    held_bytes: dict[int, int] = field(default_factory=dict)  # between two rounds, both models
    texts: list[list[int]] = field(default_factory=list)


@dataclass(frozen=True)
class Exactness:
    """One strategy's reading of the text beside the first strategy's."""

    num_positions: int
    same_ids: float  # share of positions with the same highest logit
    same_bits: float  # share of positions all of whose logits are the same bits
    max_difference: float  # of two logits
    perplexity: float


def main() -> None:
    """Measure all strategies in turn; print tables or JSON."""
    arguments = _arguments()
    os.sched_setaffinity(0, arguments.cores)
    about: dict[str, object] = {
        "command": f"python -m benchmarks.cache_strategies {' '.join(sys.argv[1:])}",
        "machine": asdict(this_machine()),
        "load_average": os.getloadavg(),
        "versions": versions(),
        "cores": arguments.cores,
        "pair": f"{arguments.pair}: {arguments.target_weights} target, {arguments.draft_weights} draft",
        "num_draft_tokens": arguments.num_draft_tokens,
    }
    started = monotonic()
    pair = find_pair(arguments.pair)
    models, left_out = load_all(pair, arguments)
    strategies = [one for one in arguments.strategies if one.kv in models]
    tokenizer = Tokenizer.load(models[strategies[0].kv].target.config.model_directory)
    text = encoded_text(tokenizer, max(*arguments.contexts, arguments.num_read))
    prompts = chats(tokenizer, arguments.prompts, arguments.repeats)
    measured = measure(strategies, models, prompts, text, arguments)
    exactness = compare(strategies, models, text[: arguments.num_read], arguments.num_draft_tokens)
    found = {one.name: summary(one, models[one.kv], measured, exactness[one]) for one in strategies}
    about |= {"seconds": round(monotonic() - started, 1), "left_out": left_out}
    if arguments.json:
        print(json.dumps(about | {"strategies": found}))
        return
    for name, value in about.items():
        print(f"{name}: {value}")
    _print_tables(strategies, models, measured, exactness)


def load_all(pair: Pair, arguments: argparse.Namespace) -> tuple[dict[str, Models], list[str]]:
    """Return the models by precision of the KV, and why some are left out."""
    models: dict[str, Models] = {}
    left_out: list[str] = []
    for kv in dict.fromkeys(strategy.kv for strategy in arguments.strategies):
        _tell(f"loading both models with {kv} KV")
        try:
            models[kv] = Models.load(pair, kv, arguments)
        except PacelineError as error:
            left_out.append(f"{kv}: {error}")
    if not models:
        raise SystemExit(f"no strategy can be measured: {'; '.join(left_out)}")
    return models, left_out


def encoded_text(tokenizer: Tokenizer, num_tokens: int) -> list[int]:
    """Return the beginning of all the benchmarks' prompts as one text."""
    text = "\n\n".join(prompt.text for prompt in read_prompts("all"))
    ids = tokenizer.encode(text, parse_special=False)
    if len(ids) < num_tokens:
        raise SystemExit(f"there are {len(ids)} tokens of text, not {num_tokens}: ask for fewer")
    return ids[:num_tokens]


def chats(tokenizer: Tokenizer, selection: str, num_chats: int) -> list[Ids]:
    """Return the ids of chats, the first one of each kind, over again where there are too few."""
    firsts: dict[str, BenchPrompt] = {}
    for prompt in read_prompts(selection):
        firsts.setdefault(prompt.kind, prompt)
    ids = encoded_prompts(list(firsts.values()), tokenizer)
    return [ids[number % len(ids)] for number in range(num_chats)]


def measure(
    strategies: Sequence[Strategy],
    models: Mapping[str, Models],
    prompts: Sequence[Sequence[int]],
    text: Sequence[int],
    arguments: argparse.Namespace,
) -> dict[Strategy, Measured]:
    """Let all strategies take turns, a repeat for each prompt."""
    measured = {strategy: Measured() for strategy in strategies}
    for repeat, prompt in enumerate(prompts):
        first = repeat % len(strategies)
        for strategy in (*strategies[first:], *strategies[:first]):
            _tell(f"repeat {repeat + 1} of {len(prompts)}: {strategy.name}")
            pair = models[strategy.kv]
            generate(strategy, pair, prompt, arguments, measured[strategy])
            time_rounds(strategy, pair, text, arguments, measured[strategy])
    return measured


def generate(
    strategy: Strategy,
    models: Models,
    prompt: Sequence[int],
    arguments: argparse.Namespace,
    measured: Measured,
) -> None:
    """Write an answer in rounds; the prompt is computed before the clock starts, where anything is kept of it."""
    with models.target.engine(strategy.update) as target, models.draft.engine(strategy.update) as draft:
        session = Session(target, draft, prompt, arguments.num_draft_tokens)
        if strategy.update != "rebuild":
            session.feed()
        started, cpu_started = monotonic(), process_time()
        while len(session.ids) < len(prompt) + arguments.num_tokens:
            session.play_round()
        num_tokens = len(session.ids) - len(prompt)
        measured.tokens_per_second.append(num_tokens / (monotonic() - started))
        measured.cpu_seconds_per_token.append((process_time() - cpu_started) / num_tokens)
        measured.num_accepted_per_round.append(session.num_accepted / session.num_rounds)
        measured.texts.append(session.ids[: len(prompt) + arguments.num_tokens])


def time_rounds(
    strategy: Strategy,
    models: Models,
    text: Sequence[int],
    arguments: argparse.Namespace,
    measured: Measured,
) -> None:
    """Time rounds behind longer and longer contexts, each the beginning of the next one."""
    rows: list[int] = []
    with models.target.engine(strategy.update, rows) as target, models.draft.engine(strategy.update) as draft:
        for num_tokens in arguments.contexts:
            session = Session(target, draft, text[:num_tokens], arguments.num_draft_tokens)
            if strategy.update != "rebuild":
                session.feed()
            for _ in range(1 if strategy.update == "rebuild" else NUM_ROUNDS):
                rows.clear()
                started, cpu_started = monotonic(), process_time()
                session.play_round()
                measured.round_seconds.setdefault(num_tokens, []).append(monotonic() - started)
                measured.round_cpu_seconds.setdefault(num_tokens, []).append(process_time() - cpu_started)
                measured.target_rows.setdefault(num_tokens, []).append(sum(rows))
            measured.held_bytes[num_tokens] = held_bytes(target) + held_bytes(draft)
            session.close()


def held_bytes(engine: Engine) -> int:
    """Return the bytes of the blocks that sequences hold."""
    usage = engine.usage()
    return usage.num_used_blocks * usage.block_size * engine.info.kv_bytes_per_token


def compare(
    strategies: Sequence[Strategy], models: Mapping[str, Models], ids: Sequence[int], num_draft_tokens: int
) -> dict[Strategy, Exactness]:
    """Let each strategy's target read the text, and compare it with the first one's reading."""
    expected: Logits | None = None
    exactness: dict[Strategy, Exactness] = {}
    for strategy in strategies:
        _tell(f"reading {len(ids)} tokens: {strategy.name}")
        logits = read(models[strategy.kv].target, strategy.update, ids, num_draft_tokens)
        expected = logits if expected is None else expected
        exactness[strategy] = compared(expected, logits, ids)
    return exactness


def read(model: LoadedModel, update: CacheUpdate, ids: Sequence[int], num_draft_tokens: int) -> Logits:
    """Return the logits behind each id [num_ids, vocab_size]; the last ids come in rounds that refuse drafts.

    Rounds accept 0, 1, 2 .. K, 0 .. of their drafts: the right ids, and behind them wrong ones.
    """
    rows = np.empty((len(ids), model.info.vocabulary_size), np.float32)

    def keep(logits: Logits, positions: TokenIds, _known_ids: Sequence[int]) -> TokenIds:
        rows[positions - 1] = logits
        return logits.argmax(axis=1)

    with model.engine(update) as engine:
        sequence = engine.open_sequence()
        position = max(1, len(ids) - NUM_READ_IN_ROUNDS)
        first = np.array(ids[:position], np.int64)
        engine.submit(Work(sequence, 0, first, num_selected=position, selector=keep)).future.result()
        num_accepted = 0
        while position < len(ids):
            right = list(ids[position : position + 1 + num_accepted])
            wrong = [(one + 1) % model.info.vocabulary_size for one in ids[position + len(right) :]]
            sent = np.array((right + wrong)[: num_draft_tokens + 1], np.int64)
            engine.submit(
                Work(sequence, position, sent, num_selected=len(sent), selector=keep)
            ).future.result()
            position += len(right)
            num_accepted = (num_accepted + 1) % (num_draft_tokens + 1)
    return rows


def compared(expected: Logits, logits: Logits, ids: Sequence[int]) -> Exactness:
    """Compare two readings of a text row by row."""
    pairs = list(zip(expected, logits, strict=True))
    own = [token_logprobs(row, one, 0).logprob for row, one in zip(logits[:-1], ids[1:], strict=True)]
    return Exactness(
        num_positions=len(pairs),
        same_ids=float(np.mean([one.argmax() == other.argmax() for one, other in pairs])),
        same_bits=float(np.mean([one.tobytes() == other.tobytes() for one, other in pairs])),
        max_difference=float(max(np.abs(one - other).max() for one, other in pairs)),
        perplexity=float(np.exp(-np.mean(own))),
    )


def summary(
    strategy: Strategy, models: Models, measured: Mapping[Strategy, Measured], exactness: Exactness
) -> dict[str, object]:
    """Return what JSON says of a strategy."""
    one = measured[strategy]
    return {
        "kv_precision": models.target.info.kv_precision,
        "cache_update": strategy.update,
        "tokens_per_second": _dict(spread_of(one.tokens_per_second)),
        "cpu_seconds_per_token": _dict(spread_of(one.cpu_seconds_per_token)),
        "speed_against_first": _dict(ratios(measured, strategy)),
        "num_accepted_per_round": _dict(spread_of(one.num_accepted_per_round)),
        "round_seconds": _spreads(one.round_seconds),
        "round_cpu_seconds": _spreads(one.round_cpu_seconds),
        "target_rows_per_round": {tokens: float(np.mean(rows)) for tokens, rows in one.target_rows.items()},
        "held_bytes_between_rounds": one.held_bytes,
        "kv_bytes_per_token": {
            "target": models.target.info.kv_bytes_per_token,
            "draft": models.draft.info.kv_bytes_per_token,
        },
        "is_batch_invariant": models.target.info.self_test.batch_invariant,
        "failed_checks": models.target.info.self_test.failed_checks,
        "num_same_texts": num_same_texts(measured, strategy),
        "num_texts": len(one.texts),
        "exactness": asdict(exactness),
    }


def ratios(measured: Mapping[Strategy, Measured], strategy: Strategy) -> Spread | None:
    """Return a strategy's speed against the first one's, repeat by repeat."""
    first = next(iter(measured.values()))
    pairs = zip(measured[strategy].tokens_per_second, first.tokens_per_second, strict=True)
    return spread_of(own / other for own, other in pairs)


def num_same_texts(measured: Mapping[Strategy, Measured], strategy: Strategy) -> int:
    """Count the answers that are those of the first strategy, id by id."""
    first = next(iter(measured.values()))
    return sum(own == other for own, other in zip(measured[strategy].texts, first.texts, strict=True))


def _dict(spread: Spread | None) -> dict[str, float] | None:
    return asdict(spread) if spread else None


def _spreads(by_context: Mapping[int, Sequence[float]]) -> dict[int, dict[str, float] | None]:
    return {num_tokens: _dict(spread_of(values)) for num_tokens, values in by_context.items()}


def _print_tables(
    strategies: Sequence[Strategy],
    models: Mapping[str, Models],
    measured: Mapping[Strategy, Measured],
    exactness: Mapping[Strategy, Exactness],
) -> None:
    _print_speed(strategies, measured)
    _print_costs(strategies, models, measured)
    _print_exactness(strategies, models, measured, exactness)


def _print_speed(strategies: Sequence[Strategy], measured: Mapping[Strategy, Measured]) -> None:
    contexts = list(measured[strategies[0]].round_seconds)
    of_contexts = (f"round after {num_tokens}, ms" for num_tokens in contexts)
    _print_header("strategy", "tok/s", "against the first", "accepted a round", *of_contexts)
    for one in strategies:
        of_one, ratio = measured[one], ratios(measured, one)
        _print_row(
            one.name,
            _cell(of_one.tokens_per_second, 1, 2),
            f"{ratio.median:.2f} ({ratio.low:.2f}-{ratio.high:.2f})" if ratio else "",
            _cell(of_one.num_accepted_per_round, 1, 2),
            *(_cell(of_one.round_seconds[num_tokens], 1000, 0) for num_tokens in contexts),
        )


def _print_costs(
    strategies: Sequence[Strategy], models: Mapping[str, Models], measured: Mapping[Strategy, Measured]
) -> None:
    contexts = list(measured[strategies[0]].round_seconds)
    longest = max(contexts)
    _print_header(
        "strategy",
        "CPU s a token",
        *(f"CPU ms of a round after {num_tokens}" for num_tokens in contexts),
        f"target's rows a round after {longest}",
        "KV bytes a token, target + draft",
        f"held between rounds after {longest}, MiB",
    )
    for one in strategies:
        of_one, pair = measured[one], models[one.kv]
        _print_row(
            one.name,
            _cell(of_one.cpu_seconds_per_token, 1, 3),
            *(_cell(of_one.round_cpu_seconds[num_tokens], 1000, 0) for num_tokens in contexts),
            f"{np.mean(of_one.target_rows[longest]):.1f}",
            f"{pair.target.info.kv_bytes_per_token:,} + {pair.draft.info.kv_bytes_per_token:,}",
            f"{of_one.held_bytes[longest] / 2**20:.1f}",
        )


def _print_exactness(
    strategies: Sequence[Strategy],
    models: Mapping[str, Models],
    measured: Mapping[Strategy, Measured],
    exactness: Mapping[Strategy, Exactness],
) -> None:
    _print_header(
        "strategy", "self-test", "same ids", "same bits", "largest difference", "perplexity", "same answers"
    )
    for one in strategies:
        report, of_one = models[one.kv].target.info.self_test, exactness[one]
        _print_row(
            one.name,
            "passed" if report.batch_invariant else f"failed: {', '.join(report.failed_checks)}",
            f"{of_one.same_ids:.4f}",
            f"{of_one.same_bits:.4f}",
            f"{of_one.max_difference:.3g}",
            f"{of_one.perplexity:.3f}",
            f"{num_same_texts(measured, one)} of {len(measured[one].texts)}",
        )


def _print_header(*cells: str) -> None:
    print()
    _print_row(*cells)
    print(f"{'|---' * len(cells)}|")


def _print_row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


def _cell(values: Sequence[float], factor: float, num_digits: int) -> str:
    spread = spread_of(values)
    if spread is None:
        return ""
    middle, low, high = (
        f"{factor * value:.{num_digits}f}" for value in (spread.median, spread.low, spread.high)
    )
    return f"{middle} ({low}-{high})"


def _tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _strategies(text: str) -> list[Strategy]:
    return list(dict.fromkeys(Strategy.parse(part) for part in text.split(",")))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pair", default="reference", choices=sorted(PAIRS), help="a catalogued pair")
    parser.add_argument("--target-weights", default="int8")
    parser.add_argument("--draft-weights", default="int4")
    parser.add_argument(
        "--strategies",
        type=_strategies,
        default=STRATEGIES,
        help=f"KV:UPDATE with commas; the first one is what the others are compared with; {STRATEGIES}",
    )
    parser.add_argument("--num-draft-tokens", type=int, default=4, help="draft tokens of a round")
    parser.add_argument("--num-tokens", type=int, default=32, help="tokens of an answer")
    parser.add_argument(
        "--prompts", default="code,prose,chat", help="kinds; a repeat answers the first of one"
    )
    parser.add_argument("--contexts", type=_numbers, default="64,256,768", help="tokens before timed rounds")
    parser.add_argument("--num-read", type=int, default=256, help="tokens of the text that is compared")
    parser.add_argument("--repeats", type=int, default=3, help="turns of every strategy")
    parser.add_argument("--cores", type=_numbers, default="0", help="cores to compute on, for example 0,1")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
