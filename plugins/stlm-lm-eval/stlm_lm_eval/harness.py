"""The harness's own tasks, found and loaded by its own manager, without its chatter; here it is imported."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from stlm.data.quiet import silent_client
from stlm.data.sources.hub.client import quiet, reach_hub
from stlm.data.sources.hub.errors import told
from stlm.spec.errors import WorkError
from stlm_lm_eval import names
from stlm_lm_eval.tasks import refusal


@cache
def loaded(member: str) -> dict[str, Any]:
    """Load the task, or the tasks of a group, by name, with their rows; kept for as long as the process runs.

    ``member`` is what stands behind `lm_eval:`. Raises `WorkError`, in one line, for what is no multiple choice or has
    no score as a whole, and where a data set cannot be had.
    """
    manager, name = _found(member)
    config = manager.task_index[name].cfg or {}
    configs = list(_of_tasks(manager.task_index, config))
    for one in (config, *configs):
        if obstacle := names.obstacle_in(one):
            raise WorkError(refusal(str(one.get("group") or one.get("task")), obstacle))
    tasks = _load(manager, name, sorted({path for one in configs if (path := _on_the_hub(one))}))
    for task_name, task in tasks.items():
        if getattr(task, "OUTPUT_TYPE", None) != "multiple_choice":
            raise WorkError(refusal(task_name, "is no multiple choice"))
        if task.multiple_target:
            raise WorkError(refusal(task_name, "has questions with several right answers"))
    return tasks


def is_group(member: str) -> bool:
    """Whether a name means several tasks together."""
    manager, name = _found(member)
    return "group" in (manager.task_index[name].cfg or {})


@cache
def weighs_tasks_alike(member: str) -> bool:
    """Whether a name means a group whose score is the mean of its tasks' scores, not weighed by their rows."""
    manager, name = _found(member)
    chosen = _aggregation(manager.task_index[name].cfg or {})
    return chosen is not None and not chosen.weight_by_size


def _found(member: str) -> tuple[Any, str]:
    """Find a task, and a manager that knows all of it: of its own folder, or of everything for a group beyond that."""
    file = names.file_of(member)
    if file is None:
        raise WorkError(f"the harness has no task `{member}`")
    folder = file.resolve().parent
    name = _name_in(_manager(folder), file.resolve()) if names.is_path(member) else member
    if name not in _manager(folder).task_index:
        raise WorkError(f"`{member}` names no task: the harness finds neither a `task` nor a `group` of its own in it")
    whole = _is_whole(_manager(folder).task_index, name)
    return _manager(folder, alone=whole), name


def _name_in(manager: Any, file: Path) -> str | None:
    entries = manager.task_index.items()
    return next((name for name, entry in entries if entry.yaml_path and Path(entry.yaml_path).resolve() == file), None)


@cache
def _manager(folder: Path, *, alone: bool = True) -> Any:
    with silent_client("lm_eval"):
        from lm_eval.tasks import TaskManager

        return TaskManager(include_path=str(folder), include_defaults=not alone)


def _is_whole(index: Any, name: str) -> bool:
    """Whether an index knows all that a group is made of."""
    entry = index.get(name)
    if entry is None or entry.cfg is None or "group" not in entry.cfg:
        return entry is not None
    return all(_is_whole(index, part) for part in _parts(entry.cfg))


def _parts(config: dict[str, Any]) -> list[str]:
    """Name what a group is made of."""
    parts = config.get("task") or ()
    return [str(part if isinstance(part, str) else part.get("group") or part.get("task")) for part in parts]


def _aggregation(config: dict[str, Any]) -> Any:
    """Say how a group's accuracy comes about; None where it has none, or where this is no group."""
    from lm_eval.config.group import GroupConfig

    metrics = GroupConfig(str(config.get("group")), aggregate_metric_list=config.get("aggregate_metric_list"))
    return next((one for one in metrics.aggregate_metric_list or () if str(one.metric).startswith("acc")), None)


def _of_tasks(index: Any, config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what the tasks of a group say, as far as the index knows them; of a task, what it says itself."""
    if "group" not in config:
        yield config
        return
    for part in _parts(config):
        entry = index.get(part)
        for one in () if entry is None else [part] if entry.cfg is not None else sorted(entry.tags):
            yield from _of_tasks(index, index[one].cfg or {})


def _on_the_hub(config: dict[str, Any]) -> str | None:
    """Name the data set of a task that is not on this machine by what the task says."""
    from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES as PACKAGED

    path = config.get("dataset_path")
    local = not isinstance(path, str) or path in PACKAGED or Path(path).exists() or "custom_dataset" in config
    return None if local else path


def _load(manager: Any, name: str, on_the_hub: list[str]) -> dict[str, Any]:
    """Load tasks with their data sets, from the hub's cache alone where the hub does not answer."""
    what = "its rows cannot be had"
    unreachable = None
    if on_the_hub:
        try:
            reach_hub(what, "a benchmark that was loaded before is read from the cache")
        except WorkError as error:
            unreachable = error
    try:
        with quiet(), silent_client("lm_eval"), _offline(unreachable is not None):
            tasks: dict[str, Any] = manager.load(name)["tasks"]
            return tasks
    except Exception as error:  # whatever a task's own program raises
        raise unreachable or WorkError(f"{what}: {_reason(error, what, on_the_hub)}") from error


def _reason(error: Exception, what: str, on_the_hub: list[str]) -> str:
    """Say in one line what went wrong with a data set."""
    return str(told(error, what, ", ".join(on_the_hub))).removeprefix(f"{what}: ")


@contextmanager
def _offline(asked: bool) -> Iterator[None]:
    """Keep the libraries from asking the hub, which they would do for most of a minute."""
    import datasets
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    if asked:
        constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before
