"""The one table of reasons: complete, documented, and the same on both sides of the wire."""

import re
from pathlib import Path

import grpc
import pytest
from structlog.testing import capture_logs

from paceline.engine.errors import BlocksExhaustedError
from paceline.errors import PacelineError
from paceline.serving.status import STATUS_OF_REASON, report_of, status_of

ROOT = Path(__file__).resolve().parents[3]


def test_the_page_lists_each_reason_with_its_status() -> None:
    rows = re.findall(
        r"^\| `([A-Z0-9_]+)` \| ([A-Z_]+) \| \S.* \| \S.* \|$",
        (ROOT / "docs/errors.md").read_text(),
        re.MULTILINE,
    )
    assert dict(rows) == {reason: code.name for reason, code in STATUS_OF_REASON.items()}
    assert [reason for reason, _ in rows] == sorted(STATUS_OF_REASON)


@pytest.mark.parametrize("proto", sorted((ROOT / "protos/paceline/v1").glob("*.proto")), ids=lambda p: p.stem)
def test_every_reason_of_the_contracts_has_the_status_that_they_state(proto: Path) -> None:
    comments = re.sub(r"\n\s*// ?", " ", proto.read_text())
    stated = [
        (code, reason.strip())
        for errors in re.findall(
            r"Errors(?: in a result| of the stream)?: ((?:[A-Z_]+ \([A-Z0-9_, ]+\)(?:, )?)+)", comments
        )
        for code, reasons in re.findall(r"([A-Z_]+) \(([A-Z0-9_, ]+)\)", errors)
        for reason in reasons.split(",")
    ]
    assert stated or "service " not in comments or "Errors: none of its own." in comments
    assert [pair for pair in stated if STATUS_OF_REASON[pair[1]].name != pair[0]] == []


def test_a_known_error_tells_its_facts_as_text() -> None:
    report = report_of(BlocksExhaustedError("full", num_needed=3, num_free=1, num_total=8))
    assert report == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "KV_BLOCKS_EXHAUSTED",
        "full",
        {"num_needed": "3", "num_free": "1", "num_total": "8"},
    )


@pytest.mark.parametrize("error", [ValueError("/secret/path"), PacelineError("/secret/path")])
def test_an_unknown_error_is_logged_and_kept_back(error: Exception) -> None:
    with capture_logs() as lines:
        report = report_of(error)
    assert status_of(error) is grpc.StatusCode.INTERNAL
    assert (report.reason, report.metadata) == ("INTERNAL", {})
    assert "/secret/path" not in report.message
    assert [(line["event"], line["exc_info"]) for line in lines] == [("internal_error", error)]
