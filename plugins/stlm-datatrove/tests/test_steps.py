"""Many tasks make what one machine makes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

datatrove = pytest.importorskip("datatrove", reason="datatrove is not installed")

from datatrove.executor import LocalPipelineExecutor  # noqa: E402
from stlm_datatrove import MergeManifest, PrepareTokens  # noqa: E402
from stlm_datatrove.steps import plans  # noqa: E402

from stlm.experiments.prepare import prepare_spec  # noqa: E402
from stlm.registry.loading import load_spec  # noqa: E402
from stlm.spec.errors import WorkError  # noqa: E402

QUICKSTART = Path(__file__).parents[3] / "specs" / "quickstart.yaml"
TIMES = ("seconds", "tokens_per_second", "content_sha256")
FILES = 3
UNUSED_BYTES = 17 << 20


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A spec whose data set has several parts."""
    (tmp_path / "texts").mkdir()
    for file in range(FILES):
        with open(tmp_path / "texts" / f"{file}.jsonl", "w") as lines:
            for row in range(100 + file):
                text = f"Report {row} of office {file}: nothing was found, {row * 7} times over, and it rained. " * 3
                unused = "x" * (UNUSED_BYTES // 100)  # small files would be one part
                lines.write(json.dumps({"text": text, "unused": unused}) + "\n")
    written = tmp_path / "spec.yaml"
    written.write_text(
        f"extends: {QUICKSTART}\n"
        f"model: {{context_window: 16, vocab_size: 300, tokenizer_dataset_name: {tmp_path / 'texts'}}}\n"
        f"trainer: {{dataset: {tmp_path / 'texts'}}}\n"
        f"general: {{paths: {{data_dir: {tmp_path / 'many'}}}}}\n"
    )
    return written


def executors(spec: Path, logs: Path, *, tasks: int = 2) -> LocalPipelineExecutor:
    """The pipeline, and the one that merges after it."""
    make = LocalPipelineExecutor([PrepareTokens(spec)], tasks=tasks, workers=1, logging_dir=str(logs / "make"))
    return LocalPipelineExecutor(
        [MergeManifest(spec)], tasks=1, workers=1, logging_dir=str(logs / "merge"), depends=make
    )


def contents(folder: Path) -> dict[str, Any]:
    """Every file of a folder of tokens; of the manifest, what does not tell the time."""
    files: dict[str, Any] = {file.name: file.read_bytes() for file in folder.iterdir()}
    manifest = json.loads(files["manifest.json"])
    return files | {"manifest.json": {key: value for key, value in manifest.items() if key not in TIMES}}


def alone(spec: Path, tmp_path: Path) -> dict[str, Any]:
    """What one machine makes."""
    resolved = load_spec(spec, [f"general.paths.data_dir={tmp_path / 'one'}"])
    return contents(prepare_spec(resolved, workers=1)[0].folder)


def made(tmp_path: Path) -> list[Path]:
    return [manifest.parent for manifest in (tmp_path / "many" / "tokens").glob("*/manifest.json")]


MACHINE = """
import sys
from datatrove.executor import LocalPipelineExecutor
from stlm_datatrove import PrepareTokens
spec, logs, rank = sys.argv[1:]
steps = [PrepareTokens(spec)]
LocalPipelineExecutor(steps, tasks=2, workers=1, local_tasks=1, local_rank_offset=int(rank), logging_dir=logs).run()
"""


def test_two_machines_make_the_bytes_that_one_makes(spec: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", MACHINE, str(spec), str(tmp_path / "logs" / "make")]
    machines = [subprocess.Popen([*command, rank], env=environment) for rank in ("0", "1")]
    assert [machine.wait(timeout=120) for machine in machines] == [0, 0]
    assert not made(tmp_path)
    executors(spec, tmp_path / "logs").run()  # which finds both tasks completed
    assert len(next(plans(str(spec))).tasks) == FILES
    assert [contents(folder) for folder in made(tmp_path)] == [alone(spec, tmp_path)]


def test_each_task_makes_its_own_parts(spec: Path) -> None:
    list(PrepareTokens(spec).run(rank=1, world_size=2))
    plan = next(plans(str(spec)))
    assert [done.all for done in plan.finished()] == [False, True, False]


def test_a_task_without_parts_makes_none(spec: Path) -> None:
    list(PrepareTokens(spec).run(rank=FILES, world_size=FILES + 1))
    assert not any(done.all for done in next(plans(str(spec))).finished())


def test_a_merge_before_all_parts_are_made_says_how_many_are_missing(spec: Path, tmp_path: Path) -> None:
    list(PrepareTokens(spec).run(rank=1, world_size=2))
    with pytest.raises(WorkError, match=r"2 of the 3 parts of texts-bpe are not made yet \(.*0\.jsonl for one\)"):
        list(MergeManifest(spec).run())
    assert not made(tmp_path)
    list(PrepareTokens(spec).run(rank=0, world_size=2))
    for _ in range(2):  # the second finds the folder
        list(MergeManifest(spec).run())
    assert [contents(folder) for folder in made(tmp_path)] == [alone(spec, tmp_path)]


def test_what_is_damaged_is_made_again_by_the_merge(spec: Path, tmp_path: Path) -> None:
    list(PrepareTokens(spec).run())
    shard = next(next(plans(str(spec))).work.glob("train-*.bin"))
    shard.write_bytes(b"\0" + shard.read_bytes()[1:])
    list(MergeManifest(spec).run())
    assert [contents(folder) for folder in made(tmp_path)] == [alone(spec, tmp_path)]


def test_a_finished_shard_is_not_made_again(spec: Path) -> None:
    list(PrepareTokens(spec).run())
    work = next(plans(str(spec))).work
    before = {file.name: file.stat().st_ino for file in work.glob("*.bin")}
    list(PrepareTokens(spec).run())
    assert {file.name: file.stat().st_ino for file in work.glob("*.bin")} == before


def test_tokens_that_are_whole_are_left_alone(spec: Path) -> None:
    list(PrepareTokens(spec).run())
    list(MergeManifest(spec).run())
    list(PrepareTokens(spec).run())
    assert not next(plans(str(spec))).work.exists()


def test_an_engine_that_differs_is_given_up_for_all_tasks(
    spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stlm.data.tokenizers import fast

    class Wrong:
        """An engine that gives the first token again and again."""

        name = "wrong 1.0"

        def __init__(self, tokenizer: Any) -> None:
            self.tokenizer = tokenizer

        def encode_packed(self, texts: list[str], utf8: Any = None) -> Any:
            from stlm.data.tokenizers.tokenizer import encode_packed

            ids, lengths = encode_packed(self.tokenizer, texts)
            return ids[:1].repeat(len(ids)), lengths

    monkeypatch.setattr(fast, "fast_encoder", lambda tokenizer: Wrong(tokenizer))
    list(PrepareTokens(spec).run())
    list(MergeManifest(spec).run())
    (folder,) = made(tmp_path)
    manifest = contents(folder)["manifest.json"]
    assert "wrong" not in manifest["engine"]
    monkeypatch.undo()
    assert manifest["shards"] == alone(spec, tmp_path)["manifest.json"]["shards"]


def test_each_member_of_a_mixture_is_prepared(spec: Path, tmp_path: Path) -> None:
    mixed = tmp_path / "mixed.yaml"
    texts = tmp_path / "texts"
    mixed.write_text(f"extends: {spec}\ntrainer:\n  dataset: [{{name: {texts}/0.jsonl}}, {{name: {texts}/1.jsonl}}]\n")
    list(PrepareTokens(mixed).run())
    assert [all(done.all for done in plan.finished()) for plan in plans(str(mixed))] == [True, True]


def test_a_merge_by_several_tasks_is_a_mistake(spec: Path) -> None:
    with pytest.raises(ValueError, match="tasks=1"):
        list(MergeManifest(spec).run(rank=0, world_size=2))


def test_documents_of_a_step_before_go_on_to_the_next(spec: Path) -> None:
    assert list(PrepareTokens(spec).run(iter(["one", "two"]))) == ["one", "two"]


def test_statistics_tell_what_was_made(spec: Path) -> None:
    step = PrepareTokens(spec)
    list(step.run())
    assert step.stats["documents"].total == sum(100 + file for file in range(FILES))
