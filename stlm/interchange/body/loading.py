"""Published models through transformers: their config, their shapes, and their weights; nothing is downloaded here."""

import contextlib
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stlm.data.quiet import silenced
from stlm.interchange.published import CONFIG, WEIGHTS, Published
from stlm.spec.errors import StlmError, UsageError, WorkError


@contextlib.contextmanager
def quiet(source: Published) -> Iterator[None]:
    """Keep transformers' remarks and bars from the terminal, and turn what it raises into a `WorkError` of one line."""
    try:
        with silenced(logging.CRITICAL):
            yield
    except (StlmError, torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:
        raise source.failed(error) from error


def read_config(source: Published, *, trust_remote_code: bool) -> Any:
    """Read a model's config, as transformers has it.

    Raises `UsageError` where the model is none whose body can stand between our embedder and head: one that needs code
    of its own which may not run, one that transformers does not know, one of several parts.
    """
    folder = source.at_hand()
    from transformers import AutoConfig

    said = source.config() or {}
    _require_known(source, said, folder, trust_remote_code)
    instead = {"num_labels": 2} if "num_labels" in said else {}  # a list of names is made of it, which no body needs
    with quiet(source):
        config = AutoConfig.from_pretrained(
            folder, trust_remote_code=trust_remote_code, local_files_only=True, **instead
        )
    layers = getattr(config, "num_hidden_layers", None)
    if isinstance(layers, int) and layers < 1:
        key = config.attribute_map.get("num_hidden_layers", "num_hidden_layers")
        raise source.mistake(f"the `{CONFIG}` of `{source.name}` says `{key}: {layers}`; a body has at least one layer")
    if config.is_encoder_decoder:
        raise source.mistake(f"`{source.name}` is an encoder and a decoder; only a body that is one can be used")
    if config.get_text_config() is not config:
        raise source.mistake(f"`{source.name}` reads more than text; only a body that reads text alone can be used")
    return config


def _require_known(source: Published, config: dict[str, Any], folder: Path, trust_remote_code: bool) -> None:
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    said = config.get("model_type")
    code = config.get("auto_map")
    if code and trust_remote_code:
        _require_code(source, code, folder)
        return
    if isinstance(said, str) and said in CONFIG_MAPPING:
        return
    what = f"model type {json.dumps(said)}, which transformers {transformers.__version__} does not know"
    if code:
        raise UsageError(
            f"`{source.name}` brings Python code of its own ({what}); it is run only with `hf_trust_remote_code: true`",
            key="hf_trust_remote_code",
        )
    raise source.mistake(f"the `{CONFIG}` of `{source.name}` says {what}")


def _require_code(source: Published, auto_map: Any, folder: Path) -> None:
    """Check that the files of code that a config names are at hand; transformers would go and look for them."""
    if not isinstance(auto_map, dict):
        raise source.mistake(f"`auto_map` in the `{CONFIG}` of `{source.name}` is {json.dumps(auto_map)}, no mapping")
    for reference in auto_map.values():
        for one in reference if isinstance(reference, list | tuple) else [reference]:
            if one is None:
                continue
            elsewhere, _, name = str(one).rpartition("--")
            if elsewhere:
                raise source.mistake(f"`{source.name}` takes its code from `{elsewhere}`; put both into one folder")
            if not re.fullmatch(r"\w+\.\w+", name):
                what = f"`auto_map` in the `{CONFIG}` of `{source.name}` names {json.dumps(one)}"
                raise source.mistake(f"{what}; a name of code is `file.Class`, beside the config")
            file = f"{name.split('.')[0]}.py"
            if not (folder / file).is_file():
                raise WorkError(
                    f"`{source.name}` needs its code, `{file}`, which is not at hand; {source.how_to_get(file)}"
                )


def is_language_model(config: Any) -> bool:
    """Whether there is a class of a whole causal language model for a config."""
    from transformers.models.auto import modeling_auto as auto

    of_its_own = getattr(config, "auto_map", None) or {}
    return config.model_type in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or "AutoModelForCausalLM" in of_its_own


def without_dropout(config: Any) -> None:
    """Set every dropout that a config has to 0."""
    for name, value in config.to_dict().items():
        if "drop" in name and isinstance(value, float):
            setattr(config, name, 0.0)


def make_model(config: Any, dtype: torch.dtype, *, whole: bool, trust_remote_code: bool) -> Any:
    """Make a body (or, ``whole``, a causal language model) on the device of the context, as transformers starts it."""
    from transformers import AutoModel, AutoModelForCausalLM

    auto = AutoModelForCausalLM if whole else AutoModel
    return auto.from_config(config, dtype=dtype, trust_remote_code=trust_remote_code)


def load_model(
    source: Published, config: Any, dtype: torch.dtype, *, whole: bool, trust_remote_code: bool
) -> tuple[Any, set[str]]:
    """Load a body (or a causal language model) on the CPU; also the names of tensors that its files do not hold.

    A pickled file is read by `torch.load(weights_only=True)`, which runs no code.
    """
    from transformers import AutoModel, AutoModelForCausalLM

    if not source.has_weights():
        raise WorkError(f"`{source.name}`: its weights are not at hand; {source.how_to_get(WEIGHTS[0])}")
    auto = AutoModelForCausalLM if whole else AutoModel
    model, told = auto.from_pretrained(
        source.at_hand(),
        config=config,
        dtype=dtype,
        trust_remote_code=trust_remote_code,
        local_files_only=True,
        weights_only=True,
        output_loading_info=True,
    )
    return model.eval(), set(told["missing_keys"])


class Unused(nn.Module):
    """What stands in the place of a part that our network does not use, so that it is neither counted nor stored."""

    def forward(self, *_: Any, **__: Any) -> Any:
        """Refuse."""
        raise RuntimeError("this part of the published model is not part of the body")


def stripped(body: Any) -> Any:
    """Take its token embedding and its pooler off a body; both would only lie there."""
    body.set_input_embeddings(Unused())
    if getattr(body, "pooler", None) is not None:
        body.pooler = None
    return body
