"""Of every value it is known where it came from."""

import json
from pathlib import Path

from drawing import PLAIN, write

from stlm.registry import load_spec, parse_spec
from stlm.spec.explain import explain


def test_every_value_of_the_canonical_form_has_an_origin() -> None:
    spec = parse_spec(write(PLAIN).text)
    paths = {row.path for row in explain(spec)}
    leaves: set[str] = set()

    def walk(value: object, path: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, f"{path}.{key}" if path else key)
        else:
            leaves.add(path)

    walk(spec.to_plain(), "")
    assert paths == leaves


def test_an_origin_is_a_file_an_override_a_default_or_a_rule(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(write(PLAIN).text)
    (tmp_path / "a.yaml").write_text("extends: base.yaml\nmodel:\n  hidden_dim: 128\n")
    spec = load_spec(tmp_path / "a.yaml", ["trainer.max_iters=99"])
    rows = {row.path: json.loads(json.dumps(row.as_json())) for row in explain(spec)}
    assert rows["model.hidden_dim"] == {
        "path": "model.hidden_dim",
        "value": 128,
        "from": "file",
        "says": f"written at {tmp_path / 'a.yaml'}:3:15",
        "file": str(tmp_path / "a.yaml"),
        "line": 3,
        "column": 15,
    }
    assert rows["model.context_window"]["file"] == str(tmp_path / "base.yaml")
    assert rows["trainer.max_iters"]["from"] == "override"
    assert rows["trainer.max_iters"]["file"] == "--set trainer.max_iters"
    assert rows["model.norm_eps"] == {
        "path": "model.norm_eps",
        "value": 1e-5,
        "from": "default",
        "says": "default of section `model`",
        "owner": "section `model`",
    }
    assert rows["trainer.lr_decay_iters"]["from"] == "derived"
    assert rows["trainer.lr_decay_iters"]["sources"] == {"trainer.max_iters": 99}
    assert rows["model.tokenizer_type"]["from"] == "file"
    assert rows["model.lm_head_normalization"]["owner"] == "lm_head `generic`"


def test_the_place_of_a_key_that_nobody_wrote_is_that_of_its_mapping() -> None:
    text = write(PLAIN)
    spec = parse_spec(text.text)
    place = spec.provenance.place_of("model.attn.head_dim")
    assert place is not None
    assert (place.line, place.column) == text.keys["model.attn"]
    unknown = spec.provenance.place_of("model.attn.no.such.key")
    assert unknown == place
