"""Every parameter is in the table, what the table says of it is true, and the page has the table."""

import re
from pathlib import Path

import pytest

from orchestrator.gateway.body_reading import read_body
from orchestrator.gateway.chat_body import ChatBody
from orchestrator.gateway.completion_body import CompletionBody
from orchestrator.gateway.http_errors import HTTP_REASONS, KIND_OF_REASON
from orchestrator.gateway.parameters import PARAMETERS, Endpoint, Treatment, known, table
from paceline.errors import InvalidRequestError
from paceline.serving.status import STATUS_OF_REASON

PAGE = (Path(__file__).resolve().parents[3] / "docs/http-api.md").read_text(encoding="utf-8")
BODIES = {Endpoint.CHAT: ChatBody, Endpoint.COMPLETIONS: CompletionBody}


@pytest.mark.parametrize("endpoint", Endpoint)
def test_what_is_supported_is_what_is_read(endpoint):
    supported = {one.name for one in known(endpoint).values() if one.treatment is Treatment.SUPPORTED}
    assert supported == set(BODIES[endpoint].model_fields)


@pytest.mark.parametrize("endpoint", Endpoint)
def test_what_is_ignored_is_warned_of_and_what_is_refused_says_why(endpoint):
    for one in known(endpoint).values():
        if one.treatment is Treatment.SUPPORTED:
            continue
        body = b'{"%b": {"some": 1}}' % one.name.encode()
        if one.treatment is Treatment.IGNORED:
            assert read_body(body, BODIES[endpoint], endpoint).warnings == (
                f"{one.name} is ignored: {one.about}",
            )
        else:
            with pytest.raises(InvalidRequestError, match=re.escape(one.about)) as caught:
                read_body(body, BODIES[endpoint], endpoint)
            assert caught.value.facts["field"] == one.name
        assert read_body(b'{"%b": null}' % one.name.encode(), BODIES[endpoint], endpoint).warnings == ()


def test_a_value_that_asks_for_what_is_done_anyway_is_accepted():
    body = b'{"best_of": 1, "suffix": "", "use_beam_search": false, "skip_special_tokens": true}'
    assert read_body(body, CompletionBody, Endpoint.COMPLETIONS).warnings == ()
    with pytest.raises(InvalidRequestError):
        read_body(b'{"best_of": true}', CompletionBody, Endpoint.COMPLETIONS)


def test_null_is_leaving_out_for_names_of_other_requests_too():
    assert read_body(b'{"suffix": null, "anything": null}', ChatBody, Endpoint.CHAT).warnings == ()


def test_no_parameter_is_there_twice():
    for endpoint in Endpoint:
        names = [one.name for one in PARAMETERS if endpoint in one.endpoints]
        assert len(names) == len(set(names))


def test_the_page_has_the_table_of_parameters():
    assert table() in PAGE


def test_the_page_has_the_status_and_type_of_every_reason():
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| (.+?) \|", PAGE, re.MULTILINE)
    documented = {
        reason: (int(status), kind)
        for status, kind, reasons in rows
        for reason in re.findall(r"`(\w+)`", reasons)
    }
    assert documented == {reason: tuple(kind) for reason, kind in KIND_OF_REASON.items()}
    assert not HTTP_REASONS.keys() & STATUS_OF_REASON.keys()
