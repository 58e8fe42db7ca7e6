"""What each of several processes measures of texts: `torchrun … text_ranks.py SPEC FOLDER`."""

from typing import Any

from stlm.compiler import compile
from stlm.compiler.processes import Processes
from stlm.data.preparation.prepare import prepare
from stlm.evaluation.held_out import HeldOut, measure_held_out
from stlm.evaluation.passage_modeling import measure_passages
from stlm.evaluation.passages import Passages, shipped
from stlm.evaluation.subject import Subject
from stlm.registry.loading import parse_spec
from stlm.spec import Spec
from stlm.testing import tell

MASKED = (
    "model.attn.attn_type=bidirectional",
    "trainer.loss_fn=next_token_mlm",
    "trainer.eval.dataset_loss_eval_iters=4",
)
WAYS = {
    "replicas": ("trainer.parallel=ddp",),
    "shards": ("trainer.parallel=fsdp",),
    "replicas that see both sides": ("trainer.parallel=ddp", *MASKED),
    "shards that see both sides": ("trainer.parallel=fsdp", *MASKED),
}
TEXTS = Passages("some", shipped().texts[:5])


def measured(spec: Spec, processes: Processes, *overrides: str) -> dict[str, Any]:
    """Measure held-out text and some passages by an untrained model."""
    changed = parse_spec(spec.dump(), overrides)
    program = compile(changed, "cpu", processes=processes)
    data = prepare(changed, program.tokenizer)
    subject = Subject.of(program, program.tokenizer)
    held_out = HeldOut.of(data, changed.trainer, changed.trainer.loss_fn.build(changed.trainer))
    passes: list[int] = []
    read = program.model.token_states
    program.model.token_states = lambda *tensors, **more: (passes.append(1), read(*tensors, **more))[1]
    numbers: dict[str, Any] = {"held_out": measure_held_out(subject, held_out)}
    of_held_out = len(passes)
    numbers["passages"] = measure_passages(subject, TEXTS)
    return {**numbers, "passes": [of_held_out, len(passes) - of_held_out]}


def all_that_is_measured(spec: Spec, processes: Processes) -> dict[str, Any]:
    return {way: measured(spec, processes, *overrides) for way, overrides in WAYS.items()}


if __name__ == "__main__":
    tell(all_that_is_measured)
