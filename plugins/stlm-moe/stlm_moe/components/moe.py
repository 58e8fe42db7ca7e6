"""A sparse mixture of experts, whose router chooses a few of them for each token."""

from typing import Any

from stlm.registry import (
    between,
    block,
    build_in_layer,
    choice,
    component,
    derived,
    fraction,
    hook,
    non_negative,
    option,
    positive,
    rule,
)


@component("ffn", "moe")
class MixtureOfExperts:
    """Feed-forward networks of which each token uses those that a router scores highest (Shazeer et al., 2017).

    As in Switch Transformers (Fedus et al., 2021; arXiv:2101.03961), Mixtral (Jiang et al., 2024; arXiv:2401.04088) and
    OLMoE (Muennighoff et al., 2024; arXiv:2409.02060). No expert has a limit to its load, so no token is dropped.
    """

    num_experts: int = option(between(2, 10_000), doc="Number of experts among which the router chooses.")
    top_k: int = option(positive, default=2, doc="Number of experts that each token goes through.")
    expert: Any = block(
        "ffn",
        type_key="ffn_type",
        doc="The feed-forward network that every expert is. It reads what `normalization` made, and has no norm of its "
        "own unless it says so.",
        defaults={"normalization": "none"},
    )
    num_shared_experts: int = option(
        between(0, 10_000), default=0, doc="Number of further experts that every token goes through, as in DeepSeekMoE."
    )
    normalize_weights: bool = option(
        default=derived(lambda top_k: top_k > 1, "top_k", says="whether `top_k` is more than 1"),
        doc="Whether the weights of a token's experts are divided by their sum: true in Mixtral, false in OLMoE.",
    )
    load_balancing_weight: float = option(
        non_negative,
        default=0.01,
        doc="Weight of the loss that makes the router use all experts alike; it is 1 times the weight where they are.",
    )
    router_z_loss_weight: float = option(
        non_negative,
        default=0.0,
        doc="Weight of the loss that keeps the router's logits small (ST-MoE), there and in OLMoE 0.001.",
    )
    router_jitter: float = option(
        fraction,
        default=0.0,
        doc="In training, each number that the router reads is multiplied by one drawn between 1 minus and 1 plus this "
        "(Switch Transformers: 0.01).",
    )
    normalization: Any = choice("norm", default="rms_norm", doc="Norm of what the router and the experts read.")

    @rule("top_k", "num_experts")
    def there_are_enough_experts(top_k: int, num_experts: int) -> str | None:
        """A token goes through no more experts than there are."""
        if top_k > num_experts:
            return f"`top_k` is {top_k}, but there are only {num_experts} experts"
        return None

    @rule("normalize_weights", "top_k")
    def the_router_has_something_to_learn(normalize_weights: bool, top_k: int) -> str | None:
        """A single expert's weight is not divided by itself, for then it is 1 whatever the router says."""
        if normalize_weights and top_k == 1:
            return "`normalize_weights` must be false with a `top_k` of 1: the router would learn nothing from the text"
        return None

    def build(self, model: Any, layer: int = 0) -> Any:
        """Build the router and the experts."""
        from stlm_moe.nn.moe import MixtureOfExperts as Module

        def experts(count: int) -> list[Any]:
            return [build_in_layer(self.expert, model, layer) for _ in range(count)]

        return Module(
            model.hidden_dim,
            experts(self.num_experts),
            top_k=self.top_k,
            norm=self.normalization.build(model, model.hidden_dim),
            shared_experts=experts(self.num_shared_experts),
            normalize_weights=self.normalize_weights,
            load_balancing_weight=self.load_balancing_weight,
            router_z_loss_weight=self.router_z_loss_weight,
            router_jitter=self.router_jitter,
        )

    @hook(tryfirst=True)
    def step_ends(self, run: Any, metrics: dict[str, float]) -> None:
        """Log how evenly the experts of all layers were used in the step, and how decided the routers were."""
        from stlm_moe.nn.figures import close_step, figures

        close_step(run.model, run.processes)
        metrics.update(figures(run.model))
