"""A path at which no spec can be read: what is near it, or what stands there."""

import json

import pytest

from stlm.registry import load_spec
from stlm.spec import UsageError


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    """Make a folder of two runs, one with a checkpoint, and be in the folder above."""
    for name in ("small", "large"):
        (tmp_path / "outputs" / name).mkdir(parents=True)
        (tmp_path / "outputs" / name / "source.yaml").write_text("")
    checkpoint = tmp_path / "outputs" / "small" / "checkpoints" / "step-4"
    checkpoint.mkdir(parents=True)
    (checkpoint / "state.json").write_text(json.dumps({"run": "/elsewhere/small"}))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "outputs"


def said(path):
    with pytest.raises(UsageError) as caught:
        load_spec(path)
    return str(caught.value)


def test_near_names_are_told_of_a_path_that_is_not_there(outputs):
    assert said("outputs/smal") == "there is no file or folder `outputs/smal`; did you mean `outputs/small`?"
    assert said("output/small") == "there is no file or folder `output/small`"


def test_a_folder_that_is_no_run_is_told_for_what_it_is(outputs):
    assert said("outputs").startswith("`outputs` is a folder of runs, the latest of them `outputs/")
    assert said("outputs/small/checkpoints/step-4").startswith(
        "`outputs/small/checkpoints/step-4` is a checkpoint of the run in `outputs/small`; a spec is a YAML file"
    )
    assert "is a folder without a `source.yaml`, so no run" in said("outputs/small/checkpoints")
    (outputs / "small" / "checkpoints").rename(outputs / "moved")
    assert "is a checkpoint of the run in `/elsewhere/small`" in said("outputs/moved/step-4")


def test_the_command_line_tells_it_in_one_line_and_a_check_goes_on_with_the_rest(project):
    here = project({"spec.yaml": "model: {}\n"})
    told = here.run("train", "spec.yml")
    assert (told.status, told.err) == (2, "error: there is no file or folder `spec.yml`; did you mean `spec.yaml`?\n")
    both = here.run("check", "spec.yml", "spec.yaml", "--json").json["diagnostics"]
    assert {one["file"] for one in both} == {"spec.yml", "spec.yaml"}
