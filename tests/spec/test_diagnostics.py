"""What a mistake looks like, to the letter."""

import pytest

from stlm.registry import parse_spec
from stlm.spec import Code, Diagnostic, Place, SpecError

SPEC = """\
model:
  model_shell_type: standard
  core_model_type: generic
  embedding_model_type: generic
  lm_head_type: generic
  positional_encoding_type: none
  tokenizer_type: gtp2
  hidden_dim: "64"
  context_window: -16
  num_layers: 2
  std: 0.1
  attn:
    attn_type: causal
    num_kv_head: 4
  ffn:
    ffn_type: generic
    ffn_dim: 128
    bias: yes
"""

GOLDEN = """\
<text>:7:19: error[unknown-name]: there is no tokenizer `gtp2`
      tokenizer_type: gtp2
                      ^^^^
help: did you mean `gpt2`?
help: allowed: {tokenizers}

<text>:8:15: error[wrong-type]: `hidden_dim` takes an integer, got the string `64`
      hidden_dim: "64"
                  ^^^^
help: take the quotes off: 64

<text>:9:19: error[out-of-range]: `context_window` must be greater than 0, got -16
      context_window: -16
                      ^^^
help: Longest sequence, in tokens.

<text>:11:3: error[unknown-key]: `std` belongs to initialization_fn: normal; this spec chose kaiming
      std: 0.1
      ^^^

<text>:14:5: error[unknown-key]: attention `causal` has no option `num_kv_head`
        num_kv_head: 4
        ^^^^^^^^^^^
help: did you mean `num_kv_heads`?
help: `stlm plugins show attention causal` lists what it takes

<text>:18:11: error[wrong-type]: `bias` takes true or false, got the string `yes`
        bias: yes
              ^^^
help: write true"""


def test_mistakes_are_shown_as_a_compiler_shows_them() -> None:
    from stlm.registry.manager import installed

    with pytest.raises(SpecError) as caught:
        parse_spec(SPEC)
    tokenizers = ", ".join(f"`{n}`" for n in installed().names("tokenizer"))
    assert "\n\n".join(d.render() for d in caught.value.diagnostics) == GOLDEN.format(tokenizers=tokenizers)


def test_a_mistake_in_an_override_is_shown_under_the_override() -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec(SPEC, ["model.ffn.ffn_dim=1.5"])
    assert caught.value.diagnostics[-1].render() == (
        "--set model.ffn.ffn_dim: error[wrong-type]: `ffn_dim` takes an integer, got the number `1.5`\n"
        "    model.ffn.ffn_dim=1.5\n"
        "                      ^^^\n"
        "help: Width between the two layers, commonly 4 × `hidden_dim`."
    )


def test_a_mistake_without_a_source_line_is_its_headline() -> None:
    assert Diagnostic(Place("a.yaml", 1, 1), "", Code.YAML, "no").render() == "a.yaml:1:1: error[yaml]: no"


def test_a_tab_or_a_very_long_line_leaves_the_caret_under_its_word() -> None:
    tabbed = Diagnostic(Place("a", 1, 6, 3, "\ta:\t xyz"), "", Code.YAML, "no").render().splitlines()
    assert tabbed[1:] == ["     a:  xyz", "         ^^^"]
    line = "a" * 500 + "xyz" + "b" * 500
    shown = Diagnostic(Place("a", 1, 501, 3, line), "", Code.YAML, "no").render().splitlines()
    assert len(shown[1]) <= 164
    start = shown[2].index("^")
    assert shown[1][start : start + 3] == "xyz"


def test_json_holds_what_is_shown() -> None:
    found = Diagnostic(Place("a.yaml", 3, 5, 2, "x"), "model.x", Code.RULE, "no", ("do this",))
    assert found.as_json() == {
        "file": "a.yaml",
        "line": 3,
        "column": 5,
        "key": "model.x",
        "code": "rule",
        "message": "no",
        "help": ["do this"],
    }


def test_the_codes_are_the_documented_ones() -> None:
    documented = (
        "yaml duplicate-key unknown-key missing-key wrong-type out-of-range unknown-name conflict rule extends "
        "override plugin device"
    )
    assert [c.value for c in Code] == documented.split()
