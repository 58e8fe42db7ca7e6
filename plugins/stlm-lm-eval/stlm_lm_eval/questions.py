"""From the harness's documents to questions: the requests that it would send, as contexts and choices."""

from typing import Any

from stlm.data.quiet import silent_client
from stlm.evaluation.drawing import drawn_evenly, drawn_rows
from stlm.evaluation.items import Item
from stlm.spec.errors import WorkError
from stlm.spec.reasons import reason_of
from stlm_lm_eval.harness import is_group, loaded, weighs_tasks_alike


def questions(member: str, num_samples: int, seed: int) -> list[Item]:
    """Make ``num_samples`` questions of a task or a group, chosen by the seed, in their order; all of them for 0.

    The rows of a group are counted through, one task after the other.
    """
    from lm_eval.defaults import DEFAULT_OTHER_SEED

    tasks = loaded(member)
    places = [(name, index) for name, task in tasks.items() for index in range(len(task.task_docs))]
    if weighs_tasks_alike(member):
        chosen = drawn_evenly([name for name, _ in places], num_samples, seed)
    else:
        chosen = drawn_rows(len(places), num_samples, seed)
    for task in tasks.values():
        task.set_fewshot_seed(DEFAULT_OTHER_SEED)  # of tasks that show examples, those that the harness would draw
    grouped = is_group(member)
    with silent_client("lm_eval"):
        return [_question(row, *places[row], tasks[places[row][0]], grouped=grouped) for row in chosen]


def _question(row: int, name: str, index: int, task: Any, *, grouped: bool) -> Item:
    try:
        return _taken_apart(row, name, index, task, group=name if grouped else "")
    except Exception as error:  # whatever a task's own program raises
        reason = reason_of(error)
        raise WorkError(f"row {index} of the harness's `{name}` cannot be asked: {reason}") from error


def _taken_apart(row: int, name: str, index: int, task: Any, *, group: str) -> Item:
    """Let the harness make the requests of a document, and take them apart."""
    document = task.task_docs[index]
    shots = task.config.num_fewshot or 0
    context = task.fewshot_context(document, num_fewshot=shots, gen_prefix=task.doc_to_prefix(document))
    choices = tuple(task.doc_to_choice(document))
    requests = task.construct_requests(doc=document, ctx=context, metadata=(name, index, 1))[: len(choices)]
    pairs = [request.args for request in requests]
    delimiter = task.config.target_delimiter
    contexts = tuple(context for context, _ in pairs)
    item = Item(
        row=row,
        context=contexts if task.multiple_input else contexts[0],
        choices=tuple(text.removeprefix(delimiter) for _, text in pairs),
        gold=_gold(task, document, choices),
        delimiter=delimiter,
        group=group,
    )
    assert item.pairs == pairs, f"row {index} of {name} is asked otherwise than by the harness"
    return item


def _gold(task: Any, document: Any, choices: tuple[str, ...]) -> int:
    """Say which choice the harness holds for right."""
    gold = task.doc_to_text(document) if task.multiple_input else task.doc_to_target(document)
    if isinstance(gold, str) and gold in choices:
        return choices.index(gold)
    if isinstance(gold, int) and 0 <= gold < len(choices):
        return int(gold)
    raise ValueError(f"it says that {gold!r} is right, which is none of its choices")
