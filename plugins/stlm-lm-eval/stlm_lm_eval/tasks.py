"""The family of benchmarks that a spec names: `mcq_benchmarks: [lm_eval:arc_challenge]`."""

from pathlib import Path
from typing import Any

from stlm.registry import component
from stlm.spec.suggest import nearest_names
from stlm_lm_eval import names


@component("benchmark", "lm_eval:*")
class HarnessTask:
    """A multiple-choice task or group of lm-evaluation-harness by its name there, or by the path of its YAML file.

    Contexts and choices are those that the harness makes, with as many examples before each question as the task says
    itself, which is mostly none. Of a group, the parts are its tasks. Tasks of another kind, and those that are scored
    by a function of their own, are refused; the harness runs them on a model of stlm's (`stlm-lm-eval --model stlm`).
    """

    @classmethod
    def accepts(cls, name: str) -> bool:
        """Whether the harness that is installed has such a task or group, or the file is there."""
        file = names.file_of(name.removeprefix("lm_eval:"))
        return file is not None and names.obstacle(file) is None

    @classmethod
    def meant(cls, name: str) -> tuple[str, ...]:
        """Say what is wrong with a name that is not accepted, or which one was probably meant."""
        task = name.removeprefix("lm_eval:")
        if file := names.file_of(task):
            return (refusal(task, str(names.obstacle(file))),)
        if names.is_path(task):
            return (f"there is no file `{task}` (looked in `{Path.cwd()}`)",)
        if tagged := names.tasks_tagged(task):
            shown = ", ".join(f"`lm_eval:{one}`" for one in tagged[:5]) + (", …" if len(tagged) > 5 else "")
            return (f"`{task}` is a tag, for tasks that have no score together: {shown}",)
        return tuple(f"did you mean `lm_eval:{one}`?" for one in nearest_names(task, names.all_names()))

    @property
    def by_group(self) -> bool:
        """Whether a group's score is the mean of its tasks', each counted once, rather than of their rows'."""
        from stlm_lm_eval.harness import weighs_tasks_alike

        return weighs_tasks_alike(self.member)

    def items(self, num_samples: int, seed: int) -> list[Any]:
        """Return ``num_samples`` of the questions, chosen by the seed; all of them for 0.

        Raises `WorkError`, in one line, for a task of another kind, and where its data set cannot be had.
        """
        from stlm_lm_eval.questions import questions

        return questions(self.member, num_samples, seed)


def refusal(task: str, obstacle: str) -> str:
    """Say in one line that a task cannot be a benchmark here, and who runs it."""
    name = Path(task).stem if names.is_path(task) else task
    how = f"stlm-lm-eval --model stlm --model_args run=RUN --tasks {name}"
    return f"`{task}` {obstacle}: `{how}` runs it in the harness"
