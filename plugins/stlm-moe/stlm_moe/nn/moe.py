"""A mixture of experts. Letters: T = tokens of all rows, E = experts, K = experts of one token."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from stlm.nn import Context, cost
from stlm.nn.causality import takes_branches
from stlm.nn.context import PADDING
from stlm.nn.prepared import prepare
from stlm_moe.nn.balance import Seen, load_balancing_loss, router_z_loss, tally
from stlm_moe.nn.router import Router, Routing

_Expert = Callable[[Tensor, Context], Tensor]


class MixtureOfExperts(nn.Module):
    """Send each token through the K experts that its router scores highest, and add up what they say, weighted.

    Shape: (batch, seq, hidden) -> the same, without the residual. Router and experts read ``norm(x)``; what the
    ``shared_experts`` say of every token is added with weight 1 (DeepSeekMoE: Dai et al., 2024; arXiv:2401.06066).
    Tokens are sorted by expert, and each expert computes its own at once; it runs without any too where gradients are
    asked for, so that its parameters get a gradient of 0 on every process. Nothing is dropped.

    Losses, each a mean over the tokens that are no padding: see `stlm_moe.nn.balance`. ``tally`` is what was routed in
    training since a step began, ``seen`` what was in the step before.
    """

    breaks_graphs = "how many tokens a router sends to an expert is known only when it runs"

    def __init__(
        self,
        hidden_dim: int,
        experts: Sequence[nn.Module],
        *,
        top_k: int,
        norm: nn.Module,
        shared_experts: Sequence[nn.Module] = (),
        normalize_weights: bool = True,
        load_balancing_weight: float = 0.0,
        router_z_loss_weight: float = 0.0,
        router_jitter: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm = norm
        self.router = Router(hidden_dim, len(experts), top_k=top_k, normalize=normalize_weights, jitter=router_jitter)
        self.experts = nn.ModuleList(experts)
        self.shared_experts = nn.ModuleList(shared_experts)
        self.load_balancing_weight, self.router_z_loss_weight = load_balancing_weight, router_z_loss_weight
        self.tally: Tensor | None = None
        self.seen: Seen | None = None

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """Route, compute, add up."""
        return self._mixed(x, context, self.norm, list(self.experts), list(self.shared_experts))

    def prepared(self) -> Callable[..., Tensor]:
        """Return `forward` as a function; see `stlm.nn.prepared`."""
        norm, experts, shared = prepare(self.norm), [*map(prepare, self.experts)], [*map(prepare, self.shared_experts)]
        return lambda x, context: self._mixed(x, context, norm, experts, shared)

    def _mixed(
        self,
        x: Tensor,
        context: Context,
        norm: Callable[[Tensor], Tensor],
        experts: Sequence[_Expert],
        shared: Sequence[_Expert],
    ) -> Tensor:
        y = norm(x)
        routing = self.router(y.flatten(0, 1))
        if torch.is_grad_enabled():
            self._account(routing, context)
        mixed = through_experts(y, routing, context, experts)
        for expert in shared:
            mixed = mixed + expert(y, context)
        return mixed.to(x.dtype)

    def _account(self, routing: Routing, context: Context) -> None:
        """Add the losses, and in training note how the tokens were routed."""
        real = routing.weights.new_ones(len(routing.weights))
        if context.segments is not None:
            real = (context.segments != PADDING).flatten().to(real.dtype)
        if self.load_balancing_weight:
            context.add_loss("load_balancing", self.load_balancing_weight * load_balancing_loss(routing, real))
        if self.router_z_loss_weight:
            context.add_loss("router_z", self.router_z_loss_weight * router_z_loss(routing, real))
        if self.training:
            more = tally(routing, real)
            self.tally = more if self.tally is None else self.tally + more

    @property
    def takes_branches(self) -> bool:
        """Whether every expert keeps to `Context.reach`; the router looks at each token by itself."""
        return all(map(takes_branches, (*self.experts, *self.shared_experts)))

    def active_elements(self) -> Iterator[tuple[nn.Parameter, int]]:
        """Yield what is always used, and as many experts as a token uses."""
        for part in (self.norm, self.router, *self.shared_experts, *self.experts[: self.router.top_k]):
            yield from cost.active_elements(part)

    def flops_per_token(self, seq_len: int) -> float:
        """Count the router, and as many experts as a token uses."""
        of_expert = cost.flops_per_token(self.experts[0], seq_len)
        return cost.flops_per_token(self.router, seq_len) + of_expert * (self.router.top_k + len(self.shared_experts))

    def saved_bytes_per_token(self, seq_len: int, width: int) -> float:
        """Count router, experts and losses, and of each choice what its expert said and its two places in the order."""
        router, read = self.router, 4 * self.router.in_features
        ends = sum(cost.saved_bytes_per_token(part, seq_len, width) for part in (self.norm, router))
        shared = sum(cost.saved_bytes_per_token(part, seq_len, width) for part in self.shared_experts)
        readers = len(self.shared_experts) + (router.jitter == 0)  # of one tensor, where none makes a narrow copy
        twice = read * max(0, readers - 1) if width == 4 else 0
        routed = cost.saved_bytes_per_token(self.experts[0], seq_len, width) + width * router.in_features + 2 * 8
        losses = 4 * (router.out_features + 2) if self.router_z_loss_weight else 0
        return ends + shared - twice + router.top_k * routed + losses


@torch.compiler.disable(recursive=False)  # it breaks graphs; the experts in it may be graphs of their own
def through_experts(y: Tensor, routing: Routing, context: Context, experts: Sequence[_Expert]) -> Tensor:
    """Return the weighted sum of what each token's experts say of it, float32 where ``y`` is no wider.

    Shape of y: (batch, seq, hidden), and of the result. In the order of experts, a token stands K times.
    """
    tokens, top_k = routing.chosen.shape
    order = routing.chosen.flatten().argsort(stable=True)
    back = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
    rows: Tensor = _Rearranged.apply(y.flatten(0, 1), order // top_k, back, top_k)
    counts = routing.chosen.flatten().bincount(minlength=len(experts)).tolist()
    contexts = _contexts(context, y.shape[:2], order // top_k, counts)
    said = []
    for expert, part, own in zip(experts, rows.split(counts), contexts, strict=True):
        if len(part) or torch.is_grad_enabled():
            said.append(expert(part.unsqueeze(0), own).squeeze(0))
            for name, value in own.losses.items():  # a mean over this expert's tokens
                context.add_loss(name, value * (len(part) / len(rows)))
    spoken = _Rearranged.apply(torch.cat(said), back, order, 1).view(tokens, top_k, -1)
    return (spoken * routing.weights.unsqueeze(-1)).sum(dim=1).view_as(y)


class _Rearranged(torch.autograd.Function):
    """Rows in another order, in which each may stand several times; ``back`` is where its copies stand, side by side.

    torch's own gradient adds rows up one by one, on GPUs in no fixed order. This one reads them in the order of the
    copies, which gives the same sums each time and is no slower.
    """

    @staticmethod
    def forward(ctx, x, order, back, copies):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(back)
        ctx.copies = copies
        return x.index_select(0, order)

    @staticmethod
    def backward(ctx, d_y):  # type: ignore[no-untyped-def]
        (back,) = ctx.saved_tensors
        d_x = d_y.index_select(0, back)
        return (d_x if ctx.copies == 1 else d_x.view(-1, ctx.copies, d_x.shape[-1]).sum(dim=1)), None, None, None


def _contexts(context: Context, shape: torch.Size, tokens: Tensor, counts: list[int]) -> Iterator[Context]:
    """Make a context for each expert, with the positions and segments of its own tokens, and no losses yet."""

    def sorted_by_expert(each: Tensor) -> Sequence[Tensor]:
        return each.expand(shape).flatten().index_select(0, tokens).unsqueeze(0).split(counts, dim=1)

    positions = sorted_by_expert(context.positions)
    segments = [None] * len(counts) if context.segments is None else sorted_by_expert(context.segments)
    for at, of in zip(positions, segments, strict=True):
        yield replace(context.at(at, of), losses={})
