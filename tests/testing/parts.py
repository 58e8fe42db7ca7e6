"""Parts of networks to break: each takes the module that is wrong, and gives a component that builds it."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stlm.registry import block, choice, component, option, positive


class Times(nn.Module):
    """Multiply by a number."""

    def __init__(self, factor: float = 1.5) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Any) -> Any:
        return self.factor * x


class Scale(nn.Module):
    """A learned factor, to be started, counted or stored wrongly."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.empty(()))

    def reset_parameters(self) -> None:
        nn.init.ones_(self.scale)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.scale * x)


def attention(network: Callable[..., nn.Module]) -> type:
    """An attention of two heads that a class builds."""

    @component("attention", "broken")
    class Broken:
        """An attention in which something is wrong."""

        normalization: Any = choice("norm", default="rms_norm", doc="Norm at the entrance of the block.")

        def build(self, model: Any) -> Any:
            norm = self.normalization.build(model, model.hidden_dim)
            return network(model.hidden_dim, num_q_heads=2, num_kv_heads=2, head_dim=8, causal=True, norm=norm)

    return Broken


def activation(network: Callable[[], nn.Module]) -> type:
    """An activation that a class builds."""

    @component("activation", "broken")
    class Broken:
        """An activation in which something is wrong."""

        def build(self, model: Any) -> Any:
            return network()

    return Broken


def activation_with_factor(network: Callable[[float], nn.Module], **members: Any) -> type:
    """An activation that a class builds of a factor."""

    @component("activation", "broken")
    class Broken:
        """An activation in which something is wrong."""

        factor: float = option(positive, default=1.5, doc="The factor of it.")
        locals().update(members)

        def build(self, model: Any) -> Any:
            return network(self.factor)

    return Broken


def norm(network: Callable[[], nn.Module]) -> type:
    """A norm that a class builds."""

    @component("norm", "broken")
    class Broken:
        """A norm in which something is wrong."""

        def build(self, model: Any, dim: int) -> Any:
            return network()

    return Broken


def head(network: Callable[..., nn.Module]) -> type:
    """A head without a norm that a class builds."""

    @component("lm_head", "broken")
    class Broken:
        """A head in which something is wrong."""

        def build(self, model: Any) -> Any:
            return network(model.hidden_dim, model.tokenizer.vocab_size, norm=nn.Identity())

    return Broken


def encoding(network: Callable[[], nn.Module], **members: Any) -> type:
    """A positional encoding that a class builds."""

    @component("positional_encoding", "broken")
    class Broken:
        """Positions of which something is wrong."""

        locals().update(members)

        def build(self, model: Any) -> Any:
            return network()

    return Broken


def core(network: Callable[[list[nn.Module]], nn.Module]) -> type:
    """A core of two attentions that a class builds."""

    @component("core_model", "broken")
    class Broken:
        """A core in which something is wrong."""

        attn: Any = block("attention", type_key="attn_type", doc="The attention in it.")

        def build(self, model: Any) -> Any:
            return network([self.attn.build(model) for _ in range(2)])

    return Broken


def shell(network: Callable[..., nn.Module]) -> type:
    """A shell around the usual parts that a class builds."""

    @component("model_shell", "broken")
    class Broken:
        """A shell in which something is wrong."""

        def build(self, model: Any) -> Any:
            parts = (model.embedding_model, model.core_model, model.lm_head, model.positional_encoding)
            return network(*(part.build(model) for part in parts))

    return Broken


def initialization(scheme: Callable[[nn.Module], None]) -> type:
    """A start that a function of a module is."""

    @component("initialization", "broken")
    class Broken:
        """A start in which something is wrong."""

        def build(self, model: Any) -> Any:
            return scheme

    return Broken
