"""Several sources as one."""

import pytest

from stlm.data.sources.memory import TextDocuments
from stlm.data.sources.mixed import MixedDocuments, mixed_fingerprint, shares_of
from stlm.data.sources.source import has_completions, parts_of

ONE, OTHER = TextDocuments(("a", "b")), TextDocuments(("c",))


class Examples(TextDocuments):
    """Documents that say of themselves that they are prompts with completions."""

    has_completions = True


def mixed(*sources, weights=None):
    return MixedDocuments(sources, weights or (1.0,) * len(sources))


def test_documents_come_one_source_behind_the_other():
    assert list(mixed(ONE, OTHER).documents()) == ["a", "b", "c"]


def test_the_parts_of_all_sources_give_its_documents():
    parts = parts_of(mixed(ONE, OTHER))
    assert [document for part in parts for document in part.documents()] == ["a", "b", "c"]


def test_the_fingerprint_tells_sources_order_and_shares():
    prints = {
        mixed(ONE, OTHER).fingerprint(),
        mixed(OTHER, ONE).fingerprint(),
        mixed(ONE).fingerprint(),
        mixed(ONE, OTHER, weights=(2.0, 1.0)).fingerprint(),
        ONE.fingerprint(),
    }
    assert len(prints) == 5


@pytest.mark.parametrize("scale", [0.1, 3.0, 1e6])
def test_the_scale_of_weights_is_not_in_the_fingerprint(scale):
    weights = (1.0, 2.0, 4.0)
    assert mixed_fingerprint("abc", weights) == mixed_fingerprint("abc", [scale * w for w in weights])


def test_shares_add_up_to_one():
    assert shares_of((1, 3)) == (0.25, 0.75)
    assert sum(shares_of((0.1, 0.2, 0.3))) == pytest.approx(1.0)


def test_it_has_completions_where_one_source_has():
    assert has_completions(mixed(ONE, Examples(("x",))))
    assert not has_completions(mixed(ONE, OTHER))
