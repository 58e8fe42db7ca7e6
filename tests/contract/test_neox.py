"""An architecture of somebody else's: models are written as it, and nothing in stlm knows of it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import stlm
from stlm.cli.main import main
from stlm.experiments.convert import export_run
from stlm.spec import SpecError, UsageError, WorkError
from tests.contract.conftest import ATTN, FFN, HEAD
from tests.interchange.models import stored_run

LAYER_NORMS = {"normalization": "layer_norm"}


@pytest.fixture
def run(spec, tmp_path) -> Any:
    """Write a run of a spec that GPT-NeoX can say, apart from what is changed."""

    def make(**parts: Any) -> Path:
        usual = {
            "attn": {**ATTN, **LAYER_NORMS, "bias": True},
            "ffn": {**FFN, **LAYER_NORMS},
            "head": {**HEAD, "lm_head_normalization": "layer_norm"},
            "model": {"positional_encoding_type": "rope"},
        }
        return stored_run(spec(**{**usual, **parts}), tmp_path / "run")

    return make


def test_it_is_written_and_transformers_computes_the_same(run, tmp_path):
    done = export_run(run(), tmp_path / "hf")
    assert (done["export"], done["architecture"]) == ("neox", "GPTNeoXForCausalLM")
    assert done["max_difference"] < 1e-5
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    ours = stlm.load_run(tmp_path / "run", device="cpu").model
    ids = torch.randint(300, (2, 16), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, ours(ids), rtol=1e-4, atol=1e-5)


def test_the_command_line_names_it(run, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["export", str(run()), str(tmp_path / "hf"), "--as", "neox", "--json"])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["architecture"] == "GPTNeoXForCausalLM"


def test_what_is_in_its_way_is_told_as_of_any_other(run, tmp_path):
    path = run(model={"positional_encoding_type": "learned"})
    with pytest.raises(SpecError, match="this model is no GPTNeoXForCausalLM; 1 key is in the way"):
        export_run(path, tmp_path / "hf", export="neox")
    assert export_run(path, tmp_path / "hf")["export"] == "gpt2"


def test_it_reads_nothing_and_says_who_does(run, tmp_path):
    from stlm.experiments.convert import import_folder

    export_run(run(), tmp_path / "hf")
    with pytest.raises(UsageError, match="holds a `gpt_neox`, and those that can be read are `gpt2`"):
        import_folder(tmp_path / "hf", tmp_path / "back")


@pytest.mark.parametrize("act", ["blockers", "config", "weights"])
def test_where_it_fails_its_package_is_named_and_nothing_is_left(run, registry, tmp_path, monkeypatch, act):
    def fails(*args: Any) -> Any:
        raise KeyError("rotary_pct")

    path = run()
    monkeypatch.setattr(registry.find("export", "neox").cls, act, fails)
    with pytest.raises(WorkError, match=r"export `neox` of stlm-acid failed: KeyError: 'rotary_pct'"):
        export_run(path, tmp_path / "hf", export="neox")
    assert not (tmp_path / "hf").exists()
