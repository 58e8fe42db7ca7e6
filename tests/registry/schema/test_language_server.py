"""What somebody sees who opens a spec in an editor, by the language server that editors use."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stlm.registry.describe import describe_component
from stlm.registry.manager import installed
from tests.registry.schema.language_server import LanguageServer, made_ready

Edit = Callable[..., tuple[str, str]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LanguageServer]:
    why_not = made_ready()
    if why_not is not None:
        pytest.skip(why_not)
    running = LanguageServer(tmp_path_factory.mktemp("editor"))
    yield running
    running.close()


@pytest.fixture
def edited(server: LanguageServer, request: pytest.FixtureRequest) -> Edit:
    """Begin a spec as a user does (`stlm init`), write something else in it, and open it: its address and its text."""
    import click.testing

    from stlm.cli.init import command

    file = server.folder / f"{abs(hash(request.node.name))}.yaml"

    def edit(old: str = "", new: str = "") -> tuple[str, str]:
        result = click.testing.CliRunner().invoke(command, [str(file)], catch_exceptions=False)
        assert result.exit_code == 0
        text = Path(file).read_text(encoding="utf-8")
        assert old in text
        text = text.replace(old, new, 1)
        return server.open(file.name, text), text

    return edit


def test_a_spec_that_was_just_begun_has_no_mistakes(server: LanguageServer, edited: Edit) -> None:
    uri, _ = edited()
    assert server.mistakes(uri) == []


def test_the_names_of_a_kind_are_offered_with_what_they_are(server: LanguageServer, edited: Edit) -> None:
    uri, text = edited("attn_type: causal", "attn_type: ")
    offered = server.completions(uri, text, "attn_type: ")
    assert set(offered) == {name for name in installed().names("attention") if not name.endswith("*")}
    assert "in which a position sees itself and what precedes it" in offered["causal"]


def test_the_options_of_what_was_chosen_are_offered_with_their_docs(server: LanguageServer, edited: Edit) -> None:
    uri, text = edited("    num_kv_heads: 3", "    \n    num_kv_heads: 3")
    offered = server.completions(uri, text, "attn_type: causal\n    ")
    options = {one["key"]: one["doc"] for one in describe_component("attention", "causal")["options"]}
    assert set(offered) == set(options) - {"num_kv_heads", "num_q_heads"}  # those that the spec has
    assert all(offered[key].startswith(options[key]) for key in offered)


def test_a_key_under_the_pointer_shows_its_doc(server: LanguageServer, edited: Edit) -> None:
    uri, text = edited()
    (option,) = (o for o in describe_component("attention", "causal")["options"] if o["key"] == "num_kv_heads")
    assert option["doc"] in server.hover(uri, text, "num_kv_heads")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("num_q_heads: 6", "num_q_head: 6", "Property num_q_head is not allowed."),
        ("attn_type: causal", "attn_type: casual", "Value must be"),
        ("lr: 3e-3", "lr: -1", "Value is below the exclusive minimum of 0."),
        ("ffn_dim: 512", "ffn_dim: wide", 'Incorrect type. Expected "integer".'),
        ("dataset: python_docs", "dataset: pyhton_docs", "Value must be"),
    ],
)
def test_a_mistake_is_marked_where_it_stands_and_nowhere_else(
    old: str, new: str, says: str, server: LanguageServer, edited: Edit
) -> None:
    uri, text = edited(old, new)
    ((line, message),) = server.mistakes(uri)
    assert new in text.splitlines()[line - 1]
    assert message.startswith(says)
