"""Exports that break a promise."""

from pathlib import Path
from typing import Any, ClassVar

from stlm.components.export.llama import LlamaExport
from stlm.interchange import Weight
from stlm.registry import component
from tests.testing.faults import caught_by


def export(**members: Any) -> type:
    """Llama's export, with members of another class in it."""
    made = type("Broken", (LlamaExport,), {"__doc__": "Llama, of which something is wrong.", **members})
    return component("export", "broken")(made)


@caught_by("weights-table", "its table does not tell of `lm_head.weight`")
def export_that_leaves_a_tensor_out() -> type:
    @component("export", "broken")
    class Broken(LlamaExport):
        """Llama, of which something is wrong."""

        def weights(self, model: Any, config: dict[str, Any]) -> Any:
            table = LlamaExport.weights(self, model, config)
            return [weight for weight in table if weight.theirs != ("lm_head.weight",)]

    return Broken


@caught_by("reads-back", "a spec made of its own config.json would be written otherwise")
def export_that_reads_another_model() -> type:
    @component("export", "broken")
    class Broken(LlamaExport):
        """Llama, of which something is wrong."""

        def section(self, config: dict[str, Any], folder: Path) -> dict[str, Any]:
            return {**LlamaExport.section(self, config, folder), "norm_eps": 0.5}

    return Broken


@caught_by("left-out-keys", "a bare `llama` means another model to it than one with all keys")
def export_with_defaults_of_its_own() -> type:
    @component("export", "broken")
    class Broken(LlamaExport):
        """Llama, of which something is wrong."""

        model_types: ClassVar[tuple[str, ...]] = ("llama",)

        def section(self, config: dict[str, Any], folder: Path) -> dict[str, Any]:
            said = LlamaExport.section(self, config, folder)
            return said if "rms_norm_eps" in config else {**said, "norm_eps": 0.5}

    return Broken


@caught_by("blockers", "it has nothing against any spec")
def export_that_takes_everything() -> type:
    @component("export", "broken")
    class Broken(LlamaExport):
        """Llama, of which something is wrong."""

        def blockers(self, spec: Any) -> list[Any]:
            return []

    return Broken


@caught_by("blockers", "it names `model.attn.heads`, which is not there")
def export_that_blames_a_key_that_there_is_not() -> type:
    @component("export", "broken")
    class Broken(LlamaExport):
        """Llama, of which something is wrong."""

        def blockers(self, spec: Any) -> list[Any]:
            return [("model.attn.heads", "must be even")]

    return Broken


@caught_by("weights-table", "its config.json makes a LlamaForCausalLM, and its `architecture` is GPT2LMHeadModel")
def export_that_claims_another_architecture() -> type:
    @component("export", "broken")
    class Broken(LlamaExport):
        """Llama, of which something is wrong."""

        architecture: ClassVar[str] = "GPT2LMHeadModel"

    return Broken


@caught_by("weights-table", "its table tells of `model.extra.weight`, which a LlamaForCausalLM does not have")
def export_that_makes_a_tensor_up() -> type:
    def weights(self: Any, model: Any, config: dict[str, Any]) -> Any:
        table = [*LlamaExport.weights(self, model, config)]
        return [*table, Weight(table[0].ours, ("model.extra.weight",))]

    return export(weights=weights)


@caught_by("weights-table", "its table gives `")
def export_that_takes_one_tensor_for_another() -> type:
    def weights(self: Any, model: Any, config: dict[str, Any]) -> Any:
        table = [*LlamaExport.weights(self, model, config)]
        down = next(weight for weight in table if weight.theirs == ("model.layers.0.mlp.down_proj.weight",))
        norm = next(weight for weight in table if weight.theirs == ("model.norm.weight",))
        return [Weight(norm.ours, down.theirs) if weight is down else weight for weight in table]

    return export(weights=weights)


@caught_by("reads-back", "it writes `llama`, and reads mistral")
def export_that_does_not_read_what_it_writes() -> type:
    return export(model_types=("mistral",))


@caught_by("reads-back", "of its own config.json it cannot read")
def export_that_refuses_its_own_file() -> type:
    return export(unreadable=lambda self, config: [("model_type", "no")])


@caught_by("reads-back", "what it wrote does not fit the spec made of its config.json: ")
def export_that_does_not_say_that_there_are_biases() -> type:
    def config(self: Any, model: Any) -> dict[str, Any]:
        said = LlamaExport.config(self, model)
        return {key: value for key, value in said.items() if key not in ("attention_bias", "mlp_bias")}

    return export(config=config)


@caught_by("left-out-keys", "of a bare `llama` it refuses {'rms_norm_eps'}, and of one with all keys nothing")
def export_that_asks_for_every_key() -> type:
    def unreadable(self: Any, config: dict[str, Any]) -> list[tuple[str, str]]:
        return [] if "rms_norm_eps" in config else [("rms_norm_eps", "must be said")]

    return export(model_types=("llama",), unreadable=unreadable)


@caught_by("blockers", "its `architecture` is no name")
def export_without_an_architecture() -> type:
    return export(architecture="")


@caught_by("blockers", "it gives no reason for `model.attn`")
def export_that_gives_no_reason() -> type:
    return export(blockers=lambda self, spec: [("model.attn", "")])


WITHOUT_POSITIONS = ({"positional_encoding_type": "none"},)


@caught_by("weights-table", "it has something against its own example 0: `model.positional_encoding_type`")
def export_that_is_in_its_own_way() -> type:
    return export(examples=WITHOUT_POSITIONS)


@caught_by("reads-back", "it has something against its own example 0: `model.positional_encoding_type`")
def export_that_would_not_write_what_it_reads_back() -> type:
    return export(examples=WITHOUT_POSITIONS)
