"""Everything that stlm brings, and the packages here, under the kits that anybody's components are held to.

Nothing here names a component: one that is registered tomorrow is tested tomorrow.
"""

import pytest
import torch
from torch import nn

from stlm.nn import initialize
from stlm.registry.discovery import disabled_here, discover
from stlm.registry.manager import Registry
from stlm.spec.declaration import Option, declaration_of
from stlm.spec.sections import ModelSection
from stlm.testing.bench import Bench
from stlm.testing.conformance import checks_of
from stlm.testing.kits.options import idle_keys, look_at_variant
from stlm.testing.plugin import perform
from stlm.testing.subject import Subject
from stlm.testing.variants import may_differ, variants
from tests.contract.choosing import components
from tests.data.corpus import REAL_DATA

MEMBERS = {"other_harness:*": "other_harness:count_by_3"}
"""Of a family, a member that no word would find."""

CASES = [(kind, MEMBERS.get(name, name), check.name) for kind, name in components() for check in checks_of(kind)]


@pytest.fixture(scope="module")
def bench(acid_package: None, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """The bench of all tests here."""
    return Bench(tmp_path_factory.mktemp("bench"), Registry(discover(disabled_here())))


@pytest.fixture(autouse=True)
def downloaded_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokenizers that lie beside the repository are read there."""
    if (cache := REAL_DATA / "tokenizers/tiktoken_cache").is_dir():
        monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(cache))


@pytest.mark.parametrize(("kind", "name", "check"), CASES)
def test_it_keeps_the_contract(bench: Bench, kind: str, name: str, check: str) -> None:
    perform(bench, kind, name, check)


def test_no_value_of_the_model_section_is_ignored_and_with_each_it_learns(bench: Bench) -> None:
    subject, declaration = Subject(bench, "attention", bench.names("attention")[0]), declaration_of(ModelSection)
    found = list(variants(bench, bench.base, ("model",), declaration, "model"))
    for variant in found:
        look_at_variant(subject, variant)
    slots = [s for field, s in declaration.slots.items() if may_differ(bench, s, declaration.types[field])]
    tried = {variant.key for variant in found}  # a core that needs files from outside cannot be
    assert idle_keys(subject, found, [s.key for s in slots if isinstance(s, Option) or s.key in tried]) == set()
    assert tried >= {"hidden_dim", "context_window", "initialization_fn", "positional_encoding_type"}


def test_a_module_that_forgets_to_fill_itself_is_named() -> None:
    """What a component must not forget, and is told where it does: `reset_parameters`."""

    class Forgetful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.empty(3))

    with pytest.raises(TypeError, match="holds `scale` and has no method `reset_parameters`"):
        initialize(Forgetful(), lambda module: None, 0)
