"""The three sections of a spec, and the whole: frozen values in which every default and rule has been applied."""

from typing import Any

from stlm.spec.checks import matches, non_negative, not_empty, positive
from stlm.spec.declaration import Named, block, choice, choices, option, section

_device = matches(r"auto|cpu|mps|cuda(:\d+)?", "`auto`, `cpu`, `mps`, `cuda` or `cuda:N`", "tpu")


@section
class ModelSection:
    """What is computed: an embedder, a core and a head, joined by a shell."""

    model_shell: Any = choice(
        "model_shell", key="model_shell_type", doc="The shell that joins embedder, core and head."
    )
    core_model: Any = choice(
        "core_model", key="core_model_type", doc="The core: what happens between embedding and head."
    )
    embedding_model: Any = choice("embedding", key="embedding_model_type", doc="The embedder of tokens.")
    lm_head: Any = choice(
        "lm_head", key="lm_head_type", doc="The head that maps the last hidden state to the vocabulary."
    )
    tokenizer: Any = choice(
        "tokenizer", key="tokenizer_type", doc="The tokenizer, which also sets the vocabulary's size."
    )
    positional_encoding: Any = choice(
        "positional_encoding", key="positional_encoding_type", doc="How the model knows where a token stands."
    )
    initialization: Any = choice(
        "initialization", key="initialization_fn", default=Named("initialization"), doc="How weights start."
    )
    hidden_dim: int = option(positive, doc="Width of the residual stream.")
    context_window: int = option(positive, doc="Longest sequence, in tokens.")
    norm_eps: float = option(positive, default=1e-5, doc="Epsilon of every norm of the model.")


@section
class LoggingSection:
    """What is told to whom while a run goes on."""

    wandb_log: bool = option(default=False, doc="Whether Weights & Biases is told of the run, through its own library.")
    wandb_project: str = option(
        not_empty, default="SuperTinyLanguageModels", doc="The project of Weights & Biases that runs belong to."
    )
    wandb_run_name: str | None = option(
        not_empty,
        default=None,
        doc="Name of the run; where there is none, one that describes the run is made from the spec.",
    )


@section
class PathsSection:
    """Where things are kept; relative paths start where stlm is run."""

    output_dir: str = option(
        not_empty, default="outputs", doc="Folder of all runs; a run lives in its own folder there."
    )
    data_dir: str = option(not_empty, default="data", doc="What runs share: prepared tokens and trained tokenizers.")
    checkpoint_dir: str = option(
        not_empty,
        default="checkpoints",
        doc="Checkpoints: inside the run's folder where relative, else in `<checkpoint_dir>/<run name>`.",
    )
    eval_dir: str = option(
        not_empty,
        default="evals",
        doc="Results of evaluations: inside the run's folder where relative, else in `<eval_dir>/<run name>`.",
    )


@section
class GeneralSection:
    """Where and how a run happens, apart from what is computed."""

    seed: int = option(non_negative, default=42, doc="The seed from which every random choice is derived.")
    device: str = option(
        _device,
        default="cuda",
        doc="Device to compute on; `auto` takes CUDA, then MPS, then the CPU, whichever is there.",
    )
    hooks: tuple[Any, ...] = choices("hook", doc="Lifecycle hooks of plugins that take part in the run.")
    logging: LoggingSection = block(LoggingSection, doc="What is told to whom while a run goes on.")
    paths: PathsSection = block(PathsSection, doc="Where things are kept.")


@section
class SpecSections:
    """A spec: what is computed (`model`), how it is trained (`trainer`), and where (`general`)."""

    model: ModelSection = block(ModelSection, required=True, doc="The network: what is computed.")
    trainer: Any = block("trainer", type_key="trainer_type", optional=True, doc="How the network is trained.")
    general: GeneralSection = block(GeneralSection, doc="Seed, device, paths and logging.")
