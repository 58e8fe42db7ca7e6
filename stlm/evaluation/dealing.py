"""Work that the processes of a run share: each takes its turns, and all have all results."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from stlm.compiler.processes import Processes
from stlm.evaluation.subject import Subject

T = TypeVar("T")
R = TypeVar("R")


def dealt(
    subject: Subject, tasks: Sequence[T], do: Callable[[T], R], told: Callable[[float], None] | None = None
) -> list[R]:
    """Return ``do(task)`` for each task in its order, done by the subject's processes in turns.

    All have the same ``tasks``, and all come here at the same time. A pass through a network that is shared out needs
    every process, so all do equally many: who has none left does its first one anew, and throws the result away. What
    a task gives does not depend on the number of processes. May be interrupted between two tasks (`Subject.check`).
    ``told`` is given the share of the tasks that is done, after each turn.
    """
    processes = subject.processes
    mine: list[R] = []
    for turn in range(-(-len(tasks) // processes.count)):
        subject.check()
        number = turn * processes.count + processes.rank
        result = do(tasks[number if number < len(tasks) else 0])
        if number < len(tasks):
            mine.append(result)
        if told is not None:
            told(min(1.0, (turn + 1) * processes.count / len(tasks)))
    return _in_order(processes, mine, len(tasks))


def _in_order(processes: Processes, mine: list[R], count: int) -> list[R]:
    parts = processes.gather(mine)
    return [parts[number % processes.count][number // processes.count] for number in range(count)]
