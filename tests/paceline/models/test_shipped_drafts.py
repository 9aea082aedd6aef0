"""The drafts that are part of the package."""

import pytest

from paceline.engine.graph.manifest import Manifest
from paceline.models.catalog import MODELS, PAIRS, SHIPPED_DRAFTS, ShippedDraft, find_models
from paceline.models.prepare import prepare
from paceline.models.prepared import find_prepared
from paceline.models.tokenizer import Tokenizer

MOST_BYTES = 20_000_000


@pytest.fixture(params=SHIPPED_DRAFTS.values(), ids=list(SHIPPED_DRAFTS))
def draft(request: pytest.FixtureRequest) -> ShippedDraft:
    return request.param


def test_a_shipped_draft_is_what_the_catalogue_says_and_small(draft: ShippedDraft) -> None:
    manifest = Manifest.read(draft.directory)
    assert (manifest.name, manifest.weights) == (draft.name, draft.weights)
    assert manifest.source.startswith(f"distilled from {draft.target} ")
    assert draft.num_bytes < MOST_BYTES
    assert draft.num_parameters * 10 <= MODELS[draft.target].num_parameters


def test_a_shipped_draft_has_its_targets_vocabulary(draft: ShippedDraft) -> None:
    target = prepare(draft.target, "int8")
    hashes = {Tokenizer.load(one).vocabulary_hash for one in (draft.directory, target)}
    assert len(hashes) == 1
    sizes = {Manifest.read(one).architecture.vocabulary_size for one in (draft.directory, target)}
    assert len(sizes) == 1


def test_a_shipped_draft_needs_no_preparing_and_nothing_to_be_pulled(draft: ShippedDraft) -> None:
    assert find_prepared(draft.name, "int4") == prepare(draft.name, "int4") == draft.directory
    assert find_models(draft.name) == ()
    assert not SHIPPED_DRAFTS.keys() & {*MODELS, *PAIRS}
