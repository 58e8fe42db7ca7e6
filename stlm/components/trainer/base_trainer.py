"""The trainer of autoregressive language models, from the first step to the last checkpoint."""

from typing import Any, Literal

from stlm.components.dataset.mixture import Mixture
from stlm.registry import (
    block,
    choice,
    choices,
    component,
    matches,
    non_negative,
    not_empty,
    option,
    positive,
    proper_fraction,
    rule,
    section,
)

PASSAGES = matches(
    r"(hf:)?\w[\w.-]*/\w[\w.-]*|.+\.(jsonl|ndjson|parquet)(\.gz|\.zst)?",
    "true, false, a data set of the hub (`owner/name`), or the path of a .jsonl or .parquet file",
    "passages.txt",
)


@section
class EvalSection:
    """What is measured at each evaluation."""

    mcq_benchmarks: tuple[Any, ...] = choices("benchmark", doc="Multiple-choice benchmarks to score.")
    num_samples: int = option(non_negative, default=1000, doc="Rows of each benchmark that are scored; 0 means all.")
    dataset_loss_eval_iters: int = option(
        non_negative,
        default=1000,
        doc="Batches of held-out data over which loss and text modelling are measured, one pass at most; 0 means none. "
        "Also called `eval_iters`.",
    )
    text_modeling_eval: bool | str = option(
        PASSAGES,
        default=True,
        doc="Whether running text is scored per byte, so that tokenizers can be compared: held-out text and stlm's own "
        "passages. A data set of the hub (`owner/name`) or the path of a .jsonl or .parquet file, with the columns "
        "text, topic and difficulty, stands for other passages.",
    )


@component("trainer", "base_trainer")
class BaseTrainer:
    """Training by gradient descent with accumulation, evaluation, checkpoints and exact resumption."""

    dataset: Any = choice(
        "dataset", listed=Mixture, doc="What to train on: a registered name, a path, or a list of them with weights."
    )
    batch_size: int = option(positive, doc="Sequences in one micro-batch: what goes through the model at once.")
    gradient_accumulation_steps: int = option(
        positive,
        doc="Micro-batches whose gradients make one optimizer step. Also called `grad_accum` or "
        "`gradient_accumulation`.",
    )
    max_iters: int = option(
        positive,
        doc="Optimizer steps of the whole run. Also called `max_steps`. In place of `epochs` or `num_epochs`.",
    )
    init_from: str | None = option(
        not_empty,
        default=None,
        doc="Where the first weights are from: a run, a checkpoint, a Hugging Face folder or a model of the hub. "
        "Without it they are drawn.",
    )
    eval_interval: int = option(
        positive, default=2000, doc="Optimizer steps between evaluations; the last has one too."
    )
    log_interval: int = option(positive, default=10, doc="Optimizer steps between lines of metrics.jsonl.")
    checkpoint_interval: int = option(
        positive,
        default=10000,
        doc="Optimizer steps between checkpoints; the last step and an interruption have one too. Also called "
        "`save_interval` or `save_steps`.",
    )
    lr_scheduler: Any = choice("lr_scheduler", doc="How the learning rate changes from step to step.")
    dataloader: Any = choice("dataloader", doc="How windows of tokens become batches.")
    datasampling: Any = choice("datasampling", doc="In which order the windows of the data are seen.")
    loss_fn: Any = choice("loss", doc="What is minimized.")
    loss_on: Literal["all", "completion"] = option(
        default="all",
        doc="Which tokens count in the loss: all, or those of completions alone, where documents are prompts with "
        "completions; documents without a prompt count as a whole.",
    )
    document_masking: bool = option(
        default=False, doc="Whether attention stays inside a document where a window of tokens holds several."
    )
    eval: EvalSection = block(EvalSection, doc="What is measured at each evaluation.")
    optimizer: Any = block("optimizer", type_key="optimizer_name", doc="How gradients change the weights.")
    precision: Literal["auto", "fp32", "bf16"] = option(
        default="auto",
        doc="Number format of matrix products: auto is bf16 on a CUDA device that computes it natively, else fp32; "
        "fp16 is not supported. In place of `fp16` or `bf16`.",
    )
    compile: Literal["auto", True, False] = option(
        default="auto",
        doc="Whether the network is compiled by torch.compile: auto does so on CUDA, where a compiler is there and the "
        "run is long enough to pay for it.",
    )
    parallel: Literal["auto", "none", "ddp", "fsdp"] = option(
        default="auto",
        doc="How several processes train one model: ddp gives each a replica, fsdp shares the model out among them; "
        "auto is ddp under torchrun, none otherwise.",
    )
    keep_checkpoints: int = option(
        positive, default=2, doc="How many of the latest checkpoints stay, besides the best one by held-out loss."
    )
    validation_fraction: float = option(
        proper_fraction,
        default=0.01,
        doc="Share of the documents held out for validation; where that would leave either side with fewer than 16 "
        "windows of `context_window` tokens, the last such share of every document instead. A prompt with its "
        "completion is held out whole or not at all; one at least is, and one is not, where two differ.",
    )

    @rule("loss_on", "prompt_template")
    def completions_are_told_from_prompts(loss_on: str, prompt_template: str | None) -> str | None:
        """`loss_on: completion` needs documents of which `prompt_template` says what is the prompt."""
        if loss_on == "completion" and prompt_template is None:
            return (
                "`loss_on: completion` needs prompts with completions: say what they are by `prompt_template` and "
                "`completion_template`"
            )
        return None

    def build(self, program: Any, *, folder: Any, data: Any, checkpoint: Any = None) -> Any:
        """Return the `TrainingState` of a run of ``program``, for `stlm.training.loop.train`; nothing is written yet.

        ``folder`` is the run's `RunFolder`, ``data`` what was prepared for it, and ``checkpoint`` the `Checkpoint` to
        go on from, or None to start at the first step. The components of the spec and stlm's own plugins take part.
        """
        from stlm.evaluation.in_training import Evaluation
        from stlm.training.setup import assemble

        return assemble(program, folder, data, checkpoint, evaluation=Evaluation())
