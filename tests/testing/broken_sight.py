"""Parts of networks in which a position sees what it should not, or not what it should."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from stlm.nn import LMHead, ModelShell, Rotary, SelfAttention
from stlm.nn.context import PADDING
from stlm.nn.positions import NoPositions
from stlm.registry import choice, component, option, rule
from tests.testing.faults import caught_by
from tests.testing.parts import attention, core, encoding, head, shell


@caught_by("causality", "not causal: position 0 depends on position")
def attention_that_sees_the_mean_of_all() -> type:
    class Leaking(SelfAttention):
        def forward(self, x: Tensor, context: Any, state: Any = None) -> Tensor:
            return super().forward(x, context, state) + 0.1 * x.mean(dim=1, keepdim=True)

    return attention(Leaking)


@caught_by("causality", "not causal: position 0 depends on position")
def attention_without_its_mask() -> type:
    class Unmasked(SelfAttention):
        def forward(self, x: Tensor, context: Any, state: Any = None) -> Tensor:
            self.causal = False
            try:
                return super().forward(x, context, state)
            finally:
                self.causal = True

    return attention(Unmasked)


@caught_by("causality", "nothing is mixed")
def attention_that_sees_itself_alone() -> type:
    class Lonely(SelfAttention):
        def forward(self, x: Tensor, context: Any, state: Any = None) -> Tensor:
            return self.out_proj(self.qkv(self.norm(x))[..., :16])

    return attention(Lonely)


@caught_by("generation", "in steps of [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1] with a state, logits are")
def attention_that_forgets_what_it_kept() -> type:
    class Forgetful(SelfAttention):
        def forward(self, x: Tensor, context: Any, state: Any = None) -> Tensor:
            return super().forward(x, context)

    return attention(Forgetful)


@caught_by("segments", "another text in the first segment moves the logits of the second by")
def attention_that_crosses_segments() -> type:
    class Crossing(SelfAttention):
        def forward(self, x: Tensor, context: Any, state: Any = None) -> Tensor:
            return super().forward(x, replace(context, segments=None, memo={}), state)

    return attention(Crossing)


@caught_by("padding", "where a text is padded, logits are not finite")
def attention_that_divides_by_no_token() -> type:
    class Empty(SelfAttention):
        def forward(self, x: Tensor, context: Any, state: Any = None) -> Tensor:
            y = super().forward(x, context, state)
            if context.segments is None:
                return y
            return y / (context.segments != PADDING).unsqueeze(-1)

    return attention(Empty)


@caught_by("positions", "other positions give the same logits: it never asks for them")
def attention_that_never_asks_for_positions() -> type:
    class Lost(SelfAttention):
        def forward(self, x: Tensor, context: Any, state: Any = None) -> Tensor:
            return super().forward(x, replace(context, positional_encoding=None), state)

    return attention(Lost)


@caught_by("positions", "`on_heads` of positions 4 to 9 by themselves is")
def encoding_that_counts_places() -> type:
    class Counting(Rotary):
        def on_heads(self, x: Tensor, positions: Tensor, memo: Any) -> Tensor:
            return super().on_heads(x, torch.arange(x.shape[2]).unsqueeze(0), {})

    return encoding(Counting)


@caught_by("padding", "padding behind a text moves its logits by")
def attention_that_counts_the_places() -> type:
    class Counting(SelfAttention):
        def forward(self, x: Tensor, context: Any, state: Any = None) -> Tensor:
            return super().forward(x, context, state) * x.shape[1]

    return attention(Counting)


@caught_by("segments", "without segments, the first half of a window has no effect on the second")
def attention_that_never_mixes() -> type:
    class Lonely(SelfAttention):
        def forward(self, x: Tensor, context: Any, state: Any = None) -> Tensor:
            return self.out_proj(self.qkv(self.norm(x))[..., :16])

    return attention(Lonely)


@caught_by("acts", "Misspelled has `init_sate`, which nobody asks for; did you mean `init_state`?")
def attention_whose_cache_is_misspelled() -> type:
    class Misspelled(SelfAttention):
        def init_sate(self, *arguments: Any) -> Any:
            return SelfAttention.init_state(self, *arguments)

    return attention(Misspelled)


@caught_by("causality", "not causal: changed tokens after position 0 move the logits")
def attention_that_sees_all_and_hides_it_from_gradients() -> type:
    class Hiding(SelfAttention):
        def forward(self, x: Tensor, context: Any, state: Any = None) -> Tensor:
            return super().forward(x, context, state) + 0.1 * x.detach().mean(dim=1, keepdim=True)

    return attention(Hiding)


@caught_by("causality", "position 1 does not depend on its own token")
def attention_that_sees_only_what_precedes() -> type:
    class Late(SelfAttention):
        def forward(self, x: Tensor, context: Any, state: Any = None) -> Tensor:
            return super().forward(torch.cat((x[:, :1], x[:, :-1]), dim=1), context, state)

    return attention(Late)


@caught_by("generation", "and without [")
def attention_that_forgets_what_it_kept_of_one_text() -> type:
    class Single(SelfAttention):
        def forward(self, x: Tensor, context: Any, state: Any = None) -> Tensor:
            return super().forward(x, context, state if len(x) > 1 else None)

    return attention(Single)


@caught_by("positions", "positions that are told count otherwise than by default")
def shell_that_counts_from_one() -> type:
    class One(ModelShell):
        def token_states(self, token_ids: Tensor, **more: Any) -> Any:
            if more.get("positions") is None and more.get("state") is None:
                more["positions"] = torch.arange(1, token_ids.shape[1] + 1).unsqueeze(0)
            return super().token_states(token_ids, **more)

    return shell(One)


@caught_by("positions", "`at_input` gives (2, 10, 17) for (2, 10, 16)")
def encoding_that_puts_positions_beside() -> type:
    class Beside(nn.Module):
        def at_input(self, x: Tensor, positions: Tensor) -> Tensor:
            return torch.cat((x, positions.unsqueeze(-1).expand(len(x), -1, 1).to(x.dtype)), dim=-1)

    return encoding(Beside)


@caught_by("positions", "`on_heads` takes no positions that differ by row")
def encoding_that_takes_the_last_rows_positions_for_all() -> type:
    class Shared(Rotary):
        def on_heads(self, x: Tensor, positions: Tensor, memo: Any) -> Tensor:
            return super().on_heads(x, positions[-1:], {})

    return encoding(Shared)


@caught_by("branches", "in a row with others, the logits of a text are")
def attention_that_sees_other_branches() -> type:
    class Seeing(SelfAttention):
        takes_branches = True

        def forward(self, x: Tensor, context: Any, state: Any = None) -> Tensor:
            return super().forward(x, replace(context, reach=None, memo={}), state)

    return attention(Seeing)


@caught_by("branches", "in a row with others, the logits of a text are")
def head_that_looks_at_its_neighbour() -> type:
    class Neighbour(LMHead):
        takes_branches = True

        def token_states(self, hidden: Tensor, context: Any) -> Tensor:
            before = torch.cat((hidden[:, :1], hidden[:, :-1]), dim=1)
            return super().token_states(hidden + before, context)

    return head(Neighbour)


@caught_by("branches", "it says `takes_branches` where the SelfAttention in it does not: it must ask its parts")
def core_that_speaks_for_any_attention() -> type:
    class Bold(nn.Module):
        takes_branches = True

        def __init__(self, blocks: list[nn.Module]) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(blocks)

        def forward(self, x: Tensor, context: Any, state: Any = None) -> Tensor:
            for block in self.blocks:
                x = x + block(x, context)
            return x

    return core(Bold)


@caught_by("branches", "it says `takes_branches` where the ")
def shell_that_speaks_for_any_core() -> type:
    class Bold(ModelShell):
        takes_branches = True

        def token_states(self, token_ids: Tensor, **more: Any) -> Any:
            return super().token_states(token_ids, **more)

    return shell(Bold)


@caught_by("positions", "failed in `fits`: KeyError: ")
def attention_whose_rule_fails_at_other_encodings() -> type:
    @component("attention", "broken")
    class Broken:
        """An attention in which something is wrong."""

        normalization: Any = choice("norm", default="rms_norm", doc="Norm at the entrance of the block.")

        @rule("model.positional_encoding_type")
        def fits(positional_encoding_type: str) -> str | None:
            """It goes with the encodings of its table."""
            return {"none": None}[positional_encoding_type]

        def build(self, model: Any) -> Any:
            norm = self.normalization.build(model, model.hidden_dim)
            return SelfAttention(model.hidden_dim, num_q_heads=2, num_kv_heads=2, head_dim=8, causal=True, norm=norm)

    return Broken


@caught_by("acts-where-it-says", "`acts_on` is ('input',), and what it builds has `on_heads`")
def encoding_that_acts_elsewhere_than_it_says() -> type:
    return encoding(lambda: Rotary(theta=100.0), acts_on=("input",))


@caught_by("acts-where-it-says", "`acts_on` is ('input', 'qk'), and what it builds has no `at_input`")
def encoding_that_acts_in_fewer_places_than_it_says() -> type:
    return encoding(lambda: Rotary(theta=100.0), acts_on=("input", "qk"))


@caught_by("acts-where-it-says", """`acts_on` is 'qk', and must be `("input",)`, `("qk",)`, both or `()`""")
def encoding_that_says_where_it_acts_in_a_text() -> type:
    return encoding(lambda: Rotary(theta=100.0), acts_on="qk")


@caught_by("acts-where-it-says", "`acts_on` is (), and what it builds has `on_heads`")
def encoding_that_acts_where_an_option_says_so() -> type:
    @component("positional_encoding", "broken")
    class Broken:
        """Positions of which something is wrong."""

        acts_on = ()

        turns: bool = option(default=False, doc="Whether q and k are rotated.")

        def build(self, model: Any) -> Any:
            return Rotary(theta=100.0) if self.turns else NoPositions()

    return Broken
