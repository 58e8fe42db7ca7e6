"""``stlm eval`` as a user runs it: what it prints, what it leaves, and how it ends."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stlm.experiments.convert import export_run
from stlm.experiments.evaluate import all_benchmarks
from stlm.experiments.train import train
from stlm.registry.manager import installed
from tests.conftest import copied
from tests.interchange.hub import Hub, running_hub, use_hub
from tests.interchange.models import GPT2, LLAMA, save_tokenizer, spec_of, stored_run, theirs

Make = Callable[..., Any]
SHIPPED = [name for name in all_benchmarks(installed()) if name.startswith("stlm_eval_")]
SOME = ("--benchmarks", "stlm_eval_hellaswag,stlm_eval_winogrande", "--num-samples", "8")
NOWHERE = {"HF_ENDPOINT": "http://127.0.0.1:9", "no_proxy": "127.0.0.1"}
"""A hub at which nobody answers."""


@pytest.fixture(scope="module")
def trained(train_once: Make) -> Path:
    """The folder of a run that was trained, and evaluated at steps 4 and 8."""
    return Path(train_once("trainer.eval.text_modeling_eval=true"))


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of that folder, which a test may change."""
    return copied(trained, tmp_path)


@pytest.fixture
def stored(tiny_text: Path, tmp_path: Path) -> Path:
    """The folder of a run without a trainer, which can be exported."""
    return stored_run(spec_of(LLAMA, tiny_text), tmp_path / "stored")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that can be reached, and an empty cache."""
    with running_hub() as running:
        use_hub(monkeypatch, running.address, tmp_path / "cache")
        yield running


def files(folder: Path) -> dict[str, bytes]:
    """Every file in a folder, at any depth, and what is in it."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# What it prints


def test_json_has_the_parts_that_were_measured(project: Make, run: Path) -> None:
    result = project().run("eval", str(run), *SOME, "--json")
    assert result.status == 0
    said = result.json
    assert set(said) == {"run", "step", "benchmarks", "text_modeling", "dataset_loss", "rows_per_second"}
    assert (said["run"], said["step"]) == (str(run), 8)
    assert list(said["benchmarks"]) == ["stlm_eval_hellaswag", "stlm_eval_winogrande"]
    for scores in said["benchmarks"].values():
        assert {"acc", "acc_norm", "stderr", "num_samples", "chance"} <= set(scores)
        assert scores["num_samples"] == 8
    assert {"bits_per_byte", "byte_accuracy", "by_topic"} <= set(said["text_modeling"])
    assert {"loss", "perplexity", "bits_per_byte"} <= set(said["dataset_loss"])
    assert said["rows_per_second"] > 0


def test_a_part_that_was_not_asked_for_is_not_there(project: Make, run: Path) -> None:
    said = project().run("eval", str(run), *SOME, "--text-modeling", "none", "--no-dataset-loss", "--json").json
    assert set(said) == {"run", "step", "benchmarks", "rows_per_second"}
    said = project().run("eval", str(run), "--benchmarks", "none", "--json").json
    assert set(said) == {"run", "step", "text_modeling", "dataset_loss"}


def test_samples_are_a_line_a_row_and_num_samples_0_is_all(project: Make, stored: Path) -> None:
    made = project()
    how = ("--benchmarks", "stlm_eval_winogrande", "--text-modeling", "none", "--json", "--samples", "rows.jsonl")
    said = made.run("eval", "stored", *how, "--num-samples", "0").json
    rows = [json.loads(line) for line in (made.folder / "rows.jsonl").read_text().splitlines()]
    assert len(rows) == said["benchmarks"]["stlm_eval_winogrande"]["num_samples"] >= 250
    assert sorted(row["row"] for row in rows) == list(range(len(rows)))
    assert {"benchmark", "row", "gold", "log_likelihoods"} <= set(rows[0])
    right = [row["log_likelihoods"].index(max(row["log_likelihoods"])) == row["gold"] for row in rows]
    assert said["benchmarks"]["stlm_eval_winogrande"]["acc"] == sum(right) / len(rows)


@pytest.mark.parametrize("columns", ["60", "80"])
def test_the_table_fits_the_terminal(project: Make, run: Path, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("NO_COLOR", "1")
    result = project().run("eval", str(run), "--benchmarks", ",".join(SHIPPED), "--num-samples", "5")
    assert result.status == 0
    lines = result.out.splitlines()[1:]  # the first has the path of the run
    assert max(map(len, lines)) <= int(columns)
    assert "\x1b" not in result.out
    assert lines[1].split() == ["benchmark", "acc", "±", "acc_norm", "chance", "rows"]
    plain = [line for line in lines[2:10] if line.startswith("stlm_eval_") and "%" in line]  # not what was cut
    assert [line.split()[0] for line in plain] == SHIPPED
    assert all(line.split()[4].startswith("≈") for line in plain), "5 rows tell nothing"
    assert sum(line.split()[0] == "centered" for line in lines[2:10]) == 4, "below each"
    assert any(line.startswith("≈ cannot be told from chance") for line in lines)
    assert any(line.split()[:2] == ["text", "bits"] for line in lines)
    assert any(line.startswith("held-out loss ") for line in lines)


def test_a_masked_model_says_how_it_was_scored(project: Make, tiny_spec: Make) -> None:
    run = train(tiny_spec("model.attn.attn_type=bidirectional", "trainer.loss_fn=next_token_mlm")).folder
    made = project()
    said = made.run("eval", str(run), *SOME, "--json").json
    assert {scores["method"] for scores in said["benchmarks"].values()} == {"pseudo_log_likelihood"}
    assert "by pseudo-log-likelihood" in made.run("eval", str(run), *SOME).out


# What it takes


def test_a_run_is_asked_what_its_spec_says(project: Make, tiny_spec: Make) -> None:
    options = ("trainer.eval.mcq_benchmarks=[stlm_eval_arc_easy]", "trainer.eval.num_samples=8")
    run = train(tiny_spec(*options)).folder
    said = project().run("eval", str(run), "--json").json
    assert {name: scores["num_samples"] for name, scores in said["benchmarks"].items()} == {"stlm_eval_arc_easy": 8}
    again = json.loads((run / "evals" / "step-8.json").read_text())
    assert said["benchmarks"] == again["benchmarks"]
    said = project().run("eval", str(run), "--set", "trainer.eval.num_samples=4", "--json").json
    assert said["benchmarks"]["stlm_eval_arc_easy"]["num_samples"] == 4


def test_without_a_trainer_the_shipped_sets_are_scored(project: Make, stored: Path) -> None:
    said = project().run("eval", "stored", "--num-samples", "2", "--json").json
    assert list(said["benchmarks"]) == SHIPPED
    assert len(SHIPPED) == 4


@pytest.mark.parametrize("name", ["", "checkpoints/step-6", "checkpoints/latest", "checkpoints/best"])
def test_a_checkpoint_is_named_by_its_folder(project: Make, run: Path, name: str) -> None:
    said = project().run("eval", str(run / name), "--benchmarks", "", "--json").json
    assert said["step"] == (6 if name.endswith("6") else 8)
    assert said["run"] == str(run)


def test_a_checkpoint_is_chosen_by_name(project: Make, run: Path) -> None:
    said = project().run("eval", str(run), "--benchmarks", "", "--checkpoint", "step-6", "--json").json
    assert said["step"] == 6
    assert (run / "evals" / "step-6.json").is_file()


@pytest.mark.parametrize("family", [LLAMA, GPT2], ids=["llama", "gpt2"])
def test_an_exported_folder_gives_the_numbers_of_its_run(
    project: Make, tiny_text: Path, tmp_path: Path, family: str
) -> None:
    export_run(stored_run(spec_of(family, tiny_text), tmp_path / "ours"), tmp_path / "theirs")
    before, made = files(tmp_path / "theirs"), project()
    how = ("--benchmarks", ",".join(SHIPPED), "--num-samples", "20", "--device", "cpu", "--json")
    ours = made.run("eval", "ours", *how, "--samples", "ours.jsonl").json
    again = made.run("eval", "theirs", *how, "--samples", "theirs.jsonl").json
    assert (again["run"], again["step"]) == ("theirs", 0)
    printed = made.run("eval", "theirs", "--benchmarks", "", "--text-modeling", "none", "--dataset-loss")
    assert (printed.status, printed.out.splitlines()[0]) == (1, "theirs")
    assert (
        printed.err
        == "error: dataset_loss is absent: the model has no trainer, so there is no data that was held out\n"
    )
    assert again["benchmarks"] == ours["benchmarks"]
    assert again["text_modeling"]["bits_per_byte"] == pytest.approx(ours["text_modeling"]["bits_per_byte"], abs=1e-6)
    rows = [
        [json.loads(line) for line in (tmp_path / f).read_text().splitlines()] for f in ("ours.jsonl", "theirs.jsonl")
    ]
    for one, other in zip(*rows, strict=True):
        assert one["row"] == other["row"]
        assert one["log_likelihoods"] == pytest.approx(other["log_likelihoods"], rel=1e-6, abs=1e-6)
    assert files(tmp_path / "theirs") == before, "nothing is left in a folder that is no run's"


def test_an_architecture_that_no_spec_can_say_is_taken_as_a_body(project: Make, tmp_path: Path) -> None:
    import transformers

    size = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 40}
    config = transformers.GPTNeoXConfig(vocab_size=300, max_position_embeddings=40, **size)
    transformers.GPTNeoXForCausalLM(config).save_pretrained(tmp_path / "pythia")
    save_tokenizer(tmp_path / "pythia")
    result = project().run("eval", "pythia", *SOME, "--device", "cpu", "--json")
    assert result.status == 0, result.err
    assert result.json["benchmarks"]["stlm_eval_hellaswag"]["num_samples"] == 8


def test_a_model_of_the_hub_gives_the_numbers_of_its_folder(
    project: Make, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs("Llama", num_key_value_heads=2).save_pretrained(tmp_path / "folder")
    save_tokenizer(tmp_path / "folder")
    hub.add("some/llama", tmp_path / "folder")
    made = project()
    how = (*SOME, "--device", "cpu", "--json")
    named = made.run("eval", "some/llama", *how)
    assert named.status == 0, named.err
    there = made.run("eval", "folder", *how).json
    assert named.json["run"] == "some/llama"
    assert named.json["benchmarks"] == there["benchmarks"]
    assert named.json["text_modeling"] == there["text_modeling"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache", "folder"]
    hub.asked.clear()
    assert made.run("eval", "some/llama", *how).json["benchmarks"] == there["benchmarks"]
    assert not [asked for asked in hub.asked if asked.startswith("GET")], "what is in the cache is not downloaded again"


# What it leaves


def test_results_join_what_the_run_has(project: Make, run: Path) -> None:
    file = run / "evals" / "step-8.json"
    before, made = json.loads(file.read_text()), project()
    made.run("eval", str(run), *SOME, "--text-modeling", "none", "--no-dataset-loss")
    once = json.loads(file.read_text())
    assert once["dataset_loss"] == before["dataset_loss"]
    assert once["text_modeling"] == before["text_modeling"]
    assert list(once["benchmarks"]) == ["stlm_eval_hellaswag", "stlm_eval_winogrande"]
    made.run("eval", str(run), "--benchmarks", "stlm_eval_hellaswag", "--num-samples", "3")
    assert json.loads(file.read_text())["benchmarks"] == once["benchmarks"], "4 rows do not replace 8"
    rows = [json.loads(line) for line in (run / "evals" / "step-8.rows.jsonl").read_text().splitlines()]
    assert sorted(row["benchmark"] for row in rows) == ["stlm_eval_hellaswag"] * 8 + ["stlm_eval_winogrande"] * 8


def test_passages_of_ones_own_stand_beside_those_that_are_shipped(project: Make, run: Path) -> None:
    file = run / "evals" / "step-8.json"
    before = json.loads(file.read_text())
    made = project({"mine.jsonl": '{"text": "The cat slept.", "topic": "animals", "difficulty": "easy"}\n'})
    how = ("--benchmarks", "", "--no-dataset-loss", "--text-modeling")
    said = made.run("eval", str(run), *how, "mine.jsonl", "--json").json["text_modeling"]
    assert said["passages"] == "mine.jsonl"
    kept = json.loads(file.read_text())
    assert kept == {**before, "run": str(run), "text_modeling_other": {"mine.jsonl": said}}
    made.run("eval", str(run), *how, "shipped")
    assert json.loads(file.read_text())["text_modeling"]["held_out"] == before["text_modeling"]["held_out"]


def test_what_was_changed_by_set_is_not_kept(project: Make, run: Path) -> None:
    before = files(run)
    assert project().run("eval", str(run), *SOME, "--set", "general.seed=7").status == 0
    assert files(run) == before


def test_a_run_that_cannot_be_written_is_evaluated_and_says_so(project: Make, run: Path) -> None:
    (run / "evals").rename(run / "elsewhere")
    (run / "evals").write_text("no folder")
    result = project().run("eval", str(run), *SOME, "--json")
    assert result.status == 1
    assert "the results are not kept in the run: cannot write `" in result.err
    assert result.json["benchmarks"]


@pytest.mark.parametrize("name", ["spec.yaml", "metrics.jsonl", "evals/step-8.json", "checkpoints/latest"])
def test_samples_do_not_replace_what_belongs_to_the_run(project: Make, run: Path, name: str) -> None:
    before = files(run)
    result = project().run("eval", str(run), *SOME, "--samples", str(run / name))
    assert result.status == 2
    assert "would replace what belongs to the run itself" in result.err
    assert files(run) == before


def test_samples_go_through_a_link_and_into_a_device(project: Make, stored: Path, tmp_path: Path) -> None:
    made = project()
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "rows.jsonl")
    made.run("eval", "stored", *SOME, "--samples", str(tmp_path / "link.jsonl"))
    assert (tmp_path / "link.jsonl").is_symlink()
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 16
    assert made.run("eval", "stored", *SOME, "--samples", "/dev/null").status == 0
    assert Path("/dev/null").is_char_device()


def test_what_was_measured_is_printed_though_the_samples_cannot_be_written(project: Make, stored: Path) -> None:
    result = project().run("eval", "stored", *SOME, "--json", "--samples", "/dev/full")
    assert result.status == 1
    assert "cannot write `/dev/full`" in result.err
    assert result.json["benchmarks"]


# How it ends


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nothing",), "`nothing` is not there"),
        ((".",), "`.` is neither a run's folder, nor a checkpoint, nor a folder in Hugging Face's layout"),
        (("storrd",), "`storrd` is not there; did you mean `stored`?"),
        (("nothing", "--text-modeling", "shiped"), "`--text-modeling shiped`: there are no passages `shiped` (did you"),
        (("stored", "--benchmarks", "stlm_eval_helaswag"), "help: did you mean `stlm_eval_hellaswag`?"),
        (
            ("stored", "--benchmarks", "stlm_eval_hellaswag@nobody"),
            "there is no benchmark `stlm_eval_hellaswag@nobody`",
        ),
        (("stored", "--benchmarks", "none,riddles"), "`--benchmarks none,riddles`: `none` stands alone"),
        (("stored", "--benchmarks", "piqa, all"), "`--benchmarks piqa, all`: `all` stands alone"),
        (("stored/spec.yaml",), "layout; did you mean `stored`?"),
        (("stored", "--num-samples", "-1"), "-1 is not in the range"),
        (("stored", "--checkpoint", "step-3"), "has no checkpoint `step-3`"),
        (("stored", "--device", "meta"), "there are no weights"),
        (("stored", "--device", "warp"), "`warp` is no device"),
        (("stored", "--samples", "no/such/rows.jsonl"), "the folder `no/such` is not there"),
        (("stored", "--samples", "stored"), "`stored` is a folder"),
        (("stored", "--set", "model.hidden_dim=48"), "`--set model.hidden_dim` cannot be changed"),
        (("stored", "--set", "general.device=cpu"), "`--device` says it"),
    ],
)
def test_a_mistake_is_told_at_once_and_leaves_nothing(project: Make, stored: Path, arguments: Any, says: str) -> None:
    before = files(stored)
    result = project().run("eval", *arguments)
    assert (result.status, result.out) == (2, "")
    assert says in result.err
    assert "Traceback" not in result.err
    assert files(stored.parent) == {f"stored/{name}": content for name, content in before.items()}


def test_every_wrong_name_is_told_at_its_place_before_a_model_is_looked_for(project: Make) -> None:
    result = project().run("eval", "nothing", "--benchmarks", "nope,stlm_eval_hellaswag,nix")
    headlines = [line for line in result.err.splitlines() if line.startswith("--benchmarks: error[unknown-name]")]
    assert len(headlines) == 2
    assert "    --benchmarks nope,stlm_eval_hellaswag,nix\n" + " " * 42 + "^^^" in result.err


@pytest.mark.parametrize("damage", ["weights", "config", "no weights", "no tokenizer"])
def test_a_folder_that_cannot_be_read_is_one_line(project: Make, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "hf"
    theirs("Llama", num_key_value_heads=2).save_pretrained(folder)
    if damage != "no tokenizer":
        save_tokenizer(folder)
    if damage == "weights":
        (folder / "model.safetensors").write_bytes(b"x" * 40)
    elif damage == "config":
        (folder / "config.json").write_text("{")
    elif damage == "no weights":
        (folder / "model.safetensors").unlink()
    result = project().run("eval", "hf", *SOME, "--device", "cpu")
    assert result.status in (1, 2)
    assert result.out == ""
    assert len(result.err.splitlines()) == 1
    assert result.err.startswith("error: ")


def test_a_benchmark_that_cannot_be_had_is_absent_and_the_others_are_scored(project: Make, run: Path) -> None:
    names = "piqa,stlm_eval_winogrande,hellaswag"
    how = ("--benchmarks", names, "--num-samples", "5", "--text-modeling", "none", "--no-dataset-loss")
    made = project()
    result = made.start("eval", str(run), *how, "--json", **NOWHERE)
    assert result.status == 1, result.err
    assert list(result.json["absent"]) == ["piqa", "hellaswag"]
    assert list(result.json["benchmarks"]) == ["stlm_eval_winogrande"]
    told = [line for line in result.err.splitlines() if line.startswith("error: ")]
    assert len(told) == 1, "one line for one reason"
    assert told[0].startswith("error: piqa, hellaswag are absent: http://127.0.0.1:9 cannot be reached (")
    kept = json.loads((run / "evals" / "step-8.json").read_text())
    assert list(kept["absent"]) == ["piqa", "hellaswag"]
    table = made.start("eval", str(run), *how, **NOWHERE).out
    assert [line.split() for line in table.splitlines() if "absent" in line] == [
        ["piqa", "absent"],
        ["hellaswag", "absent"],
    ]


def test_held_out_data_that_is_gone_is_absent_too(project: Make, run: Path, tiny_text: Path) -> None:
    import shutil

    elsewhere = shutil.move(run, run.parent / "moved")
    lock = json.loads((Path(elsewhere) / "lock.json").read_text())
    (Path(elsewhere) / "lock.json").write_text(json.dumps({**lock, "data_folder": "/nowhere"}))
    gone = tiny_text.with_name("elsewhere")
    tiny_text.rename(gone)
    try:
        result = project().run("eval", str(elsewhere), *SOME, "--json")
    finally:
        gone.rename(tiny_text)
    assert result.status == 1
    assert list(result.json["absent"]) == ["dataset_loss"]
    assert set(result.json["benchmarks"]) == {"stlm_eval_hellaswag", "stlm_eval_winogrande"}
    assert result.err.count("error: dataset_loss is absent: ") == 1


WAITING = """
import sys
from stlm.evaluation import suite

score = suite.evaluate_benchmark

def wait_at_the_second(subject, benchmark, *arguments):
    if benchmark.selector == "stlm_eval_winogrande":
        print("here", flush=True)
        sys.stdin.read()
    return score(subject, benchmark, *arguments)

suite.evaluate_benchmark = wait_at_the_second
from stlm.cli.main import main
main(sys.argv[1:])
"""


def test_an_interruption_keeps_what_was_measured_and_nothing_half_written(
    project: Make, run: Path, tmp_path: Path
) -> None:
    made = project()
    whole = tmp_path / "whole"
    shutil.copytree(run, whole)
    before = files(run)
    command = [sys.executable, "-c", WAITING, "eval", str(run), *SOME, "--samples", "rows.jsonl"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=made.folder, env=dict(os.environ), **pipes) as process:
        assert process.stdout.readline() == b"here\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.decode().splitlines()[-1] == "interrupted"
    assert not (made.folder / "rows.jsonl").exists()
    (file,) = (file for file in run.glob("evals/step-*.json") if file.with_suffix(".rows.jsonl").exists())
    kept = json.loads(file.read_bytes())["benchmarks"]
    assert "stlm_eval_winogrande" not in kept
    assert kept["stlm_eval_hellaswag"]["num_samples"] == 8
    evals = {name: text for name, text in files(run).items() if name.startswith("evals/")}
    assert {**before, **evals} == files(run)

    assert made.run("eval", str(run), SOME[0], "stlm_eval_winogrande", *SOME[2:], "--text-modeling", "none").status == 0
    assert made.run("eval", str(whole), *SOME).status == 0
    for rest in (run, whole):
        said = json.loads((rest / "evals" / file.name).read_bytes())
        assert set(said["benchmarks"]) >= {"stlm_eval_hellaswag", "stlm_eval_winogrande"}
    rows = f"{file.stem}.rows.jsonl"
    assert (run / "evals" / rows).read_bytes() == (whole / "evals" / rows).read_bytes()


def test_the_shipped_sets_and_text_need_no_network(project: Make, stored: Path) -> None:
    result = project().start("eval", "stored", "--num-samples", "3", "--json", **NOWHERE, HF_HUB_OFFLINE="1")
    told = [line for line in result.err.splitlines() if not line.startswith("evaluating: ")]  # of a slow machine
    assert (result.status, len(told)) == (0, 1), told
    assert told[0].startswith("the results of the step are kept in `stored/evals/")
    assert set(result.json["benchmarks"]) == set(SHIPPED)
    assert result.json["text_modeling"]["by_topic"]


PARTS = ("--text-modeling", "none", "--no-dataset-loss")
NO_BENCHMARKS = "the run's spec names no benchmarks; `--benchmarks all`, or NAMES, scores some"


def test_a_run_whose_spec_names_no_benchmarks_says_how_to_score_some(project: Make, run: Path, stored: Path) -> None:
    made = project()
    told = [line for line in made.run("eval", str(run)).err.splitlines() if "benchmarks" in line]
    assert told == [NO_BENCHMARKS]
    for how in (("--benchmarks", "none"), ("--set", "trainer.eval.mcq_benchmarks=[stlm_eval_arc_easy]")):
        assert NO_BENCHMARKS not in made.run("eval", str(run), *how, *PARTS).err
    assert NO_BENCHMARKS not in made.run("eval", "stored", "--num-samples", "2", *PARTS).err


def test_where_results_are_kept_is_told_in_the_end(project: Make, run: Path) -> None:
    spaced, made = Path(shutil.copytree(run, run.parent / "a b")), project()
    result = made.run("eval", str(spaced), *SOME, *PARTS, "--json")
    assert result.status == 0
    line = f"the results of the step are kept in `{spaced}/evals/step-8.json`: `stlm report '{spaced}'` shows them"
    assert result.err.splitlines() == [f"{line}; the run's report.html is older"]
    (spaced / "report.html").unlink()
    assert made.run("eval", str(spaced), *SOME, *PARTS).err.splitlines() == [line]


@pytest.mark.parametrize("how", [("--set", "general.seed=7", *SOME), ("--benchmarks", "none")])
def test_where_nothing_is_kept_nothing_is_told_of_it(project: Make, run: Path, how: Any) -> None:
    assert project().run("eval", str(run), *how, *PARTS).err == ""


def test_results_in_a_damaged_file_stay_and_the_scores_are_printed(project: Make, run: Path) -> None:
    file = run / "evals" / "step-8.json"
    file.write_text('{"text_modeling_other": {"x": 5}}')
    result = project().run("eval", str(run), *SOME, "--no-dataset-loss", "--json")
    assert result.status == 1
    assert len(result.err.splitlines()) == 1
    assert result.err.startswith(f"error: the results are not kept in the run: `{file}` does not hold the results")
    assert set(result.json["benchmarks"]) == {"stlm_eval_hellaswag", "stlm_eval_winogrande"}
    assert file.read_text() == '{"text_modeling_other": {"x": 5}}'
