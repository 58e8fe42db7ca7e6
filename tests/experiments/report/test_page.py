"""The page: what it shows, that it needs nothing beside it, and that text stays text."""

import base64
import hashlib
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from stlm.components.benchmark.measures import MEASURES, Measure
from stlm.experiments.report import write_report
from stlm.experiments.report.record import read_record
from stlm.experiments.report.summary import again
from tests.experiments.report.conftest import NASTY, Folder
from tests.experiments.report.html_page import Page


def page_of(folder: Folder) -> Page:
    return Page.read(write_report(folder.root))


@pytest.fixture
def page(folder: Folder) -> Page:
    """The report of the run."""
    return page_of(folder)


def test_it_says_what_was_trained_and_what_it_cost(page: Page) -> None:
    assert "toy all 100 steps done · begun 2026-03-01 09:30 UTC" in page.text
    head = page.said("")
    for fact in (
        "Parameters 8.46 k",
        "Tokens 6.40 k in 100 steps",
        "Training time 10 s optimizer steps alone; 640 tokens/s",
    ):
        assert fact in head
    assert re.search(r"Compute \d\.\de8 FLOPs", head)
    assert "optimizer AdamW" in head
    assert "layers 2" in head


def test_it_draws_the_curves_of_training_and_of_held_out_data(page: Page) -> None:
    assert {"loss", "lr", "grad-norm", "tokens-per-second"} <= set(page.figures)
    loss = page.figures["loss"]
    assert [trace["name"] for trace in loss["data"]] == ["training", "held-out", "unigram, held-out"]
    assert loss["data"][0]["y"][0] == 6.0
    assert loss["x"][1]["step"] == [50, 100]
    assert loss["x"][1]["tokens"] == [3200, 6400]
    assert loss["x"][1]["flops"][1] == 2 * loss["x"][1]["flops"][0] > 0
    assert "5.5" in page.said("curves")


def test_parameters_are_a_treemap_that_adds_up(page: Page) -> None:
    (trace,) = page.figures["parameters-by-module"]["data"]
    sizes = dict(zip(trace["ids"], trace["values"], strict=True))
    assert sizes["model"] == 8464
    for name in sizes:
        inner = [sizes[i] for i, parent in zip(trace["ids"], trace["parents"], strict=True) if parent == name]
        assert not inner or sum(inner) == sizes[name]
    assert "8,464" in page.said("parameters")


def test_scores_stand_beside_chance_with_their_intervals(page: Page) -> None:
    assert "arc 50.0 ± 5.9 % 25.0 % above chance 45.0 % 270 100" in page.said("scores")
    assert "50.0 ± 5.9 % at step 100, 270 rows, chance 25.0 %: above chance." in page.said("scores")
    assert "Hollow" not in page.said("scores")
    acc, acc_norm, chance = page.figures["benchmark-0"]["data"]
    assert (acc["y"], acc["error_y"]["array"]) == ([0.45, 0.5], [0.0588, 0.0588])
    assert (acc_norm["y"], chance["y"]) == ([0.45, 0.45], [0.25, 0.25])
    low, high = page.figures["benchmark-0"]["layout"]["yaxis"]["range"]
    assert 0.2 < low < 0.25
    assert 0.5588 < high < 0.6, "as high as the interval, and a little more"


def test_evaluations_of_other_rows_are_not_joined_with_the_latest(folder: Folder) -> None:
    few = {"acc": 0.3, "stderr": 0.05, "num_samples": 100, "chance": 0.25}
    many = few | {"num_samples": 270, "acc_centered": 0.5, "acc_centered_stderr": 0.03}
    for step, arc in {20: few, 40: few, 50: many, 100: many}.items():
        folder.evaluation(step, benchmarks={"arc": arc})
    page = page_of(folder)
    figure = page.figures["benchmark-0"]
    points = {t["name"]: (x["step"], t["marker"]) for t, x in zip(figure["data"], figure["x"], strict=True)}
    del points["chance"]
    filled, hollow = {"symbol": "circle"}, {"symbol": "circle-open"}
    assert points == {
        "acc, 270 rows": ([50, 100], filled),
        "centered": ([50, 100], filled),
        "acc, 100 rows": ([20, 40], hollow),
    }
    said = page.said("scores")
    assert "Hollow points are of 100 rows: not to be compared with the others." in said
    legend = said.partition("nothing. Bars")[2]
    assert "arc acc centered chance 30.0 ±" in legend, "one line of the legend for all sets of rows"


def test_the_centered_score_stands_beside_the_plain_one(folder: Folder) -> None:
    arc = {"acc": 0.3, "stderr": 0.05, "num_samples": 100, "chance": 0.25}
    folder.evaluation(100, benchmarks={"arc": arc | {"acc_centered": 0.5, "acc_centered_stderr": 0.03}})
    said = page_of(folder).said("scores")
    assert "arc 30.0 ± 9.8 % 25.0 % not told from chance 100 100 centered 50.0 ± 5.9 % 25.0 % above chance" in said
    assert "Centered: 50.0 ± 5.9 %: above chance." in said
    assert "Centered is made for tiny models" in said


@pytest.mark.parametrize("measure", [one for one in MEASURES if one.label], ids=lambda one: one.name)
def test_every_measure_is_in_the_table_and_in_the_chart(folder: Folder, measure: Measure) -> None:
    of = {measure.name: 0.5, measure.stderr: 0.02} if measure.stderr else {measure.name: 0.5}
    folder.evaluation(100, benchmarks={"arc": {"acc": 0.3, "num_samples": 270, "chance": 0.25, **of}})
    page = page_of(folder)
    assert re.search(rf"{measure.label}\b.* 50.0 {'± 3.9 ' if measure.stderr else ''}%", page.said("scores"))
    drawn = {trace["legendgroup"]: trace for trace in page.figures["benchmark-0"]["data"] if "legendgroup" in trace}
    assert drawn[measure.label]["line"]["color"] == f"${measure.color}"
    assert drawn[measure.label]["y"][-1] == 0.5
    assert not measure.about or measure.about in page.said("scores")


def test_the_scores_of_groups_stand_in_a_table_with_the_centered_ones_where_they_are_known(folder: Folder) -> None:
    easy, medium = {"acc": 0.3, "acc_centered": 0.45}, {"acc": 0.2, "acc_centered": 0.35}
    plain = {"acc": 0.3, "by_group": {"x": {"acc": 0.6}}}
    folder.evaluation(100, benchmarks={"arc": plain | {"by_group": {"easy": easy, "medium": medium}}, "blimp": plain})
    said = page_of(folder).said("scores")
    assert "arc by group (2) group acc centered easy 30.0 % 45.0 % medium 20.0 % 35.0 %" in said
    assert "blimp by group (1) group acc x 60.0 %" in said


def test_a_single_point_is_seen_and_its_axes_are_about_it(folder: Folder) -> None:
    folder.metrics([{"step": 50, "split": "train", **folder.numbers(50)}])
    (folder.root / "evals" / "step-100.json").unlink()
    figures = page_of(folder).figures
    for name in ("loss", "lr", "grad-norm", "tokens-per-second"):
        (trace, *_) = figures[name]["data"]
        assert (trace["mode"], trace["marker"]["size"]) == ("lines+markers", [7])
    assert figures["lr"]["layout"]["yaxis"]["range"] == [0.0005, 0.0015]
    assert figures["tokens-per-second"]["layout"]["yaxis"]["range"] == [0, 1280]
    for name, level in (("loss", 5.5), ("benchmark-0", 0.25)):
        (line,) = figures[name]["layout"]["shapes"]
        assert (line["xref"], line["x0"], line["x1"], line["y0"], line["y1"]) == ("paper", 0, 1, level, level)
    assert all(trace["mode"] != "lines" for trace in figures["benchmark-0"]["data"])


def test_a_value_between_two_gaps_is_a_point(folder: Folder) -> None:
    losses = [3.0, None, 2.0, None, 1.0, 1.0]
    folder.metrics([{"step": step, "split": "train", "loss": loss} for step, loss in enumerate(losses, 1)])
    assert page_of(folder).figures["loss"]["data"][0]["marker"]["size"] == [7, 0, 7, 0, 0, 0]


def test_the_head_has_the_bits_that_the_table_has(folder: Folder) -> None:
    assert "Bits per byte 2.000 of held-out tokens" in page_of(folder).said("")
    text = {"passages": "shipped", "bits_per_byte": 2.5, "held_out": {"bits_per_byte": 1.25}}
    folder.evaluation(100, text_modeling=text)
    page = page_of(folder)
    assert "Bits per byte 1.250 of held-out text" in page.said("")
    assert "held-out text 1.250" in page.said("text")


def test_passages_are_named_and_other_ones_kept_apart(folder: Folder) -> None:
    mine = {"passages": "<mine>", "num_passages": 3, "bits_per_byte": 1.5}
    folder.evaluation(100, text_modeling_other={"<mine>": mine})
    page = page_of(folder)
    assert "Measured on the passages shipped with stlm, and 3 passages of <mine>." in page.said("text")
    assert "all passages (shipped) 2.500" in page.said("text")
    assert "all passages (<mine>) 1.500" in page.said("text")


def test_texts_are_told_by_topic(page: Page) -> None:
    assert "Measured on the passages shipped with stlm." in page.said("text")
    assert "easy tales topic 1.750" in page.said("text")
    assert {trace["name"] for trace in page.figures["text-modeling"]["data"]} == {"all passages", "easy tales"}


def test_the_worst_rows_have_their_choices_and_log_likelihoods(page: Page) -> None:
    said = page.said("worst-rows")
    assert (
        "arc 1 of 2 rows wrong row 3 wrong by 5.00 nats Is ice cold? -9.00 choice 0 right -4.00 choice 1 taken" in said
    )
    assert "row 5" not in said, "it was answered right"


def test_a_benchmark_without_a_wrong_row_says_so(folder: Folder) -> None:
    folder.rows(100, [folder.row("arc", 5, [-2.0, -7.0])])
    assert "arc none of 1 row wrong" in page_of(folder).said("worst-rows")


def test_samples_are_shown_by_prompt_and_checkpoint(page: Page) -> None:
    assert "“Once” step 50 Once there was 50 step 100 Once there was 100" in page.said("samples")


def test_empty_lines_of_samples_take_no_room(folder: Folder) -> None:
    folder.samples(100, [("Once", " upon" + "\n" * 30 + "a time")])
    assert "upon [29 empty lines]a time" in page_of(folder).said("samples")


def test_a_run_whose_model_was_shared_out_says_why_it_has_no_samples(folder: Folder) -> None:
    for step in (50, 100):
        (folder.root / "evals" / f"step-{step}.samples.json").unlink()
    assert "samples" not in page_of(folder).sections
    folder.lock(parallel="fsdp")
    assert "no samples were written" in page_of(folder).said("samples")


def test_it_says_what_it_takes_to_repeat_the_run(page: Page) -> None:
    said = page.said("repeat")
    for part in ("sha256:d19e", "sha256:da7a", "stlm train 'my spec.yaml'", "torch 2.13.0", "stlm-toy 2.0", "ffn_dim"):
        assert part in said
    assert "stlm train again.yaml --locked" in said


@pytest.mark.parametrize(
    ("where", "path"), [(".", "the runs/toy"), ("the runs/toy", "."), ("other", None), ("gone", None)]
)
def test_the_commands_name_files_as_they_are_seen_from_where_they_run(
    folder: Folder, tmp_path: Path, where: str, path: str | None
) -> None:
    (tmp_path / "the runs").mkdir()
    (tmp_path / "other").mkdir()
    folder.root = folder.root.rename(tmp_path / "the runs" / "toy")
    folder.lock(directory=str(tmp_path / where))
    commands = again(read_record(folder.root))
    assert commands is not None
    assert commands.directory == ("" if where == "gone" else str(tmp_path / where))
    copy, train = (shlex.split(line) for line in commands.commands.splitlines())
    at = folder.root if path is None else Path(path)
    assert copy == ["cp", str(at / "source.yaml"), "again.yaml"]
    assert train == ["stlm", "train", "again.yaml", "--locked", str(at / "lock.json")]
    page = page_of(folder)
    assert (f"To be run in {tmp_path / where}:" in page.said("repeat")) == (where != "gone")


def test_a_model_that_was_imported_is_told_of_without_its_training(folder: Folder, tiny_spec: Any) -> None:
    folder.write("spec.yaml", tiny_spec().dump().partition("trainer:")[0] + "general: {device: cpu}\n")
    lock = json.loads((folder.root / "lock.json").read_text())
    folder.write("lock.json", lock | {"imported": {"from": "elsewhere"}})
    (folder.root / "metrics.jsonl").unlink()
    for file in (folder.root / "evals").iterdir():
        file.unlink()
    page = page_of(folder)
    assert "imported, not trained here · made 2026-03-01" in page.text
    assert set(page.sections) == {"", "parameters", "repeat"}
    assert "What could not be read" not in page.text
    assert "--locked" not in page.text


def test_every_figure_is_one_that_plotly_knows(page: Page) -> None:
    from plotly.graph_objects import Figure

    assert len(page.figures) == 7
    for figure in page.figures.values():
        plain = re.sub(r'"\$[\w-]+"', '"#123456"', json.dumps({key: figure[key] for key in ("data", "layout")}))
        Figure(json.loads(plain))


def test_every_color_of_a_figure_is_one_of_the_page(folder: Folder) -> None:
    source = write_report(folder.root).read_text(encoding="utf-8")
    named = set(re.findall(r'"\$([\w-]+)"', Page(source).scripts[0]))
    assert named
    for name in named:
        assert source.count(f"--{name}: #") == 2, f"{name}: in the light and in the dark theme"


def test_nothing_is_fetched(page: Page) -> None:
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            value = attributes.get(name) or ""
            assert not value or value.startswith(("#", "data:,")), (tag, value)
    styles = Path(write_report.__code__.co_filename).with_name("template") / "page.css"
    assert "url(" not in styles.read_text()
    assert "@import" not in styles.read_text()


def test_only_its_own_two_scripts_may_run(page: Page) -> None:
    (policy,) = [a["content"] or "" for tag, a in page.tags if tag == "meta" and "http-equiv" in a]
    assert policy.startswith("default-src 'none'; ")
    allowed = re.search("script-src ([^;]*);", policy)
    assert allowed
    digests = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in page.scripts[1:]]
    assert allowed[1].split() == [f"'sha256-{digest}'" for digest in digests]
    assert [tag for tag, a in page.tags if any(name.startswith("on") for name in a)] == []


def nasty(folder: Folder) -> None:
    folder.samples(100, [(NASTY, NASTY)])
    folder.rows(100, [folder.row(NASTY, 1, [-9.0, -4.0], context=NASTY, choices=[NASTY, NASTY], row=NASTY)])
    arc = {"acc": 0.5, "stderr": 0.1, "num_samples": 9, "chance": 0.25, "by_group": {NASTY: 0.5}, "method": NASTY}
    text = {
        "bits_per_byte": 2.5,
        "passages": "shipped",
        "by_topic": {NASTY: {"bits_per_byte": 2.0}},
        "by_difficulty": {NASTY: 1.0},
    }
    folder.evaluation(100, benchmarks={NASTY: arc}, text_modeling=text, absent={f"{NASTY}2": NASTY})
    folder.write("source.yaml", NASTY)
    folder.lock(command=[NASTY], started=NASTY, directory=NASTY, platform=NASTY, plugins={NASTY: NASTY}, device=NASTY)
    folder.root.rename(folder.root.with_name("a<b>&amp;c"))
    folder.root = folder.root.with_name("a<b>&amp;c")


def test_text_from_data_stays_text(folder: Folder) -> None:
    plain = [tag for tag, _ in page_of(folder).tags]
    nasty(folder)
    source = write_report(folder.root).read_text(encoding="utf-8")
    page = Page(source)
    assert "img" not in [tag for tag, _ in page.tags]
    assert [tag for tag, _ in page.tags].count("script") == plain.count("script") == 3
    assert "onerror" not in "".join(name for _, attributes in page.tags for name in attributes)
    assert NASTY not in source
    assert page.text.count("document.title = 'taken over'") >= 12
    assert "{{ 7 * 7 }}" in page.text
    assert "a<b>&amp;c" in page.text


def test_text_in_charts_is_no_markup_of_plotly(folder: Folder) -> None:
    nasty(folder)
    names = [t["name"] for chart in page_of(folder).figures.values() for t in chart["data"] if "name" in t]
    assert any("taken over" in name for name in names)
    assert not [name for name in names if "<" in name]


def test_halves_of_characters_and_control_signs_do_no_harm(folder: Folder) -> None:
    folder.samples(100, [("Once", "\ud83d \x00\x1b[31m \u202e")])
    assert "\\ud83d" in page_of(folder).said("samples")


def test_losses_that_components_add_have_a_chart_of_their_own(folder: Folder) -> None:
    assert "added-losses" not in page_of(folder).figures
    added = {"added_loss/balance": 0.01, "added_loss/<z>": 0.5, "added_loss/none": None, "added_loss/huge": 1e300}
    folder.metrics([{"step": step, "split": "train", **folder.numbers(step), **added} for step in (1, 2, 3)])
    figure = page_of(folder).figures["added-losses"]
    assert [(trace["name"], trace["y"]) for trace in figure["data"]] == [
        ("&lt;z&gt;", [0.5, 0.5, 0.5]),
        ("balance", [0.01, 0.01, 0.01]),
    ]


def test_ten_thousand_lines_are_thinned_and_that_is_said(folder: Folder) -> None:
    lines: list[dict[str, Any]] = [{"step": s, "split": "train", **folder.numbers(s)} for s in range(1, 10_001)]
    lines[7000]["grad_norm"] = 99.0
    folder.metrics(lines)
    page = page_of(folder)
    assert "Of 10,000 lines, at most" in page.said("curves")
    assert all(len(t["y"]) <= 2000 for chart in page.figures.values() for t in chart["data"] if "y" in t)
    assert max(page.figures["grad-norm"]["data"][0]["y"]) == 99.0
    assert "training, mean of 201 lines" in [trace["name"] for trace in page.figures["loss"]["data"]]
