"""A mixture of experts: many feed-forward networks, of which each token uses a few."""

from typing import Any

from stlm.registry import at_least, block, choice, component, hook, non_negative, option, positive, rule


@component("ffn", "mixture")
class Mixture:
    """Experts, any registered feed-forward networks, among which a router divides the tokens (Fedus et al., 2021)."""

    num_experts: int = option(at_least(2), doc="Number of experts.")
    experts_per_token: int = option(positive, default=2, doc="Number of experts that each token goes through.")
    balance_weight: float = option(
        non_negative, default=0.01, doc="Weight of the loss that makes the router use all experts alike."
    )
    expert: Any = block("ffn", type_key="ffn_type", doc="The feed-forward network of every expert.")
    normalization: Any = choice("norm", default="rms_norm", doc="Norm of what the router reads.")

    @rule("experts_per_token", "num_experts")
    def there_are_enough_experts(experts_per_token: int, num_experts: int) -> str | None:
        """A token goes through no more experts than there are."""
        if experts_per_token > num_experts:
            return f"`experts_per_token` is {experts_per_token}, but there are only {num_experts} experts"
        return None

    def build(self, model: Any) -> Any:
        """Build the router and its experts."""
        from stlm_acid.nn.mixture import MixtureOfExperts

        return MixtureOfExperts(
            model.hidden_dim,
            [self.expert.build(model) for _ in range(self.num_experts)],
            experts_per_token=self.experts_per_token,
            balance_weight=self.balance_weight,
            norm=self.normalization.build(model, model.hidden_dim),
        )

    @hook
    def step_ends(self, run: Any, metrics: dict[str, float]) -> None:
        """Log the share of the busiest expert of all layers; balanced experts have 1 / num_experts each."""
        from stlm_acid.nn.mixture import MixtureOfExperts

        shares = [m.shares.max() for m in run.model.modules() if isinstance(m, MixtureOfExperts)]
        metrics["mixture/busiest_share"] = float(max(shares))
