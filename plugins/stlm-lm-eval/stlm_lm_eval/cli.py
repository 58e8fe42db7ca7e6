"""`stlm-lm-eval`: the harness's own command line, with the model `stlm` among its models."""

import sys

from stlm.spec.errors import SpecError, StlmError, WorkError


def register() -> None:
    """Make `--model stlm` known to the harness; what it needs is imported when it is chosen."""
    import lm_eval.models  # noqa: F401 - without it the registry takes itself for filled once it has one model
    from lm_eval.api.registry import model_registry

    model_registry.register("stlm", target="stlm_lm_eval.model:StlmLM")


def main() -> None:
    """Run the harness; a mistake that stlm finds is one line on stderr, and the exit status says whose it was."""
    from lm_eval.__main__ import cli_evaluate

    register()
    try:
        cli_evaluate()
    except StlmError as error:
        text = "\n".join(d.render() for d in error.diagnostics) if isinstance(error, SpecError) else f"error: {error}"
        print(text, file=sys.stderr)
        sys.exit(1 if isinstance(error, WorkError) else 2)
