"""What a module may have beside its `forward`, under names that mean nothing else: each name with what it means."""

from collections.abc import Mapping


def _branches(where: str) -> dict[str, str]:
    return {"takes_branches": f"True where {where} (`Context.reach`); scoring is then faster"}


_SIGHT = dict(
    init_state="`init_state(batch, max_tokens, device, dtype)` gives its `state`, where it can go on token by token",
    causal="False where a position sees what follows it",
    **_branches("a position is seen by those before `context.reach` of it alone"),
)
_ALONE = _branches("it works on each position by itself")


def _keeping(act: str) -> dict[str, str]:
    return {
        "init_state": "`init_state(batch, max_tokens, device, dtype)`, where it keeps something while generation goes "
        f"on: `{act}` is then given that as well, and None says that it cannot go on",
        **_ALONE,
    }


OF_KIND: Mapping[str, Mapping[str, str]] = {
    "core_model": {
        **_SIGHT,
        "keep": "`keep(folder)`, where `build` read files, writes those into a checkpoint's folder",
    },
    "embedding": _keeping("forward(token_ids, context, state)"),
    "lm_head": {
        "linear_map": "`linear_map()` gives the matrix and the bias of a `project` that is nothing else; a loss may "
        "then do without it",
        **_keeping("token_states(hidden, context, state)"),
    },
    "attention": {**_SIGHT, "out_proj": "its last layer, where `c_proj_weight_tying` may share it"},
    "ffn": _ALONE,
    "positional_encoding": {
        "at_input": "`at_input(x, positions)` gives embedded tokens (batch, seq, hidden) with their positions",
        "on_qk": "`on_qk(q, k, positions, memo)` gives q and k, each (batch, heads, seq, head_dim), with theirs",
        "on_heads": "`on_heads(x, positions, memo)` stands for `on_qk` where q and k are treated alike",
        **_ALONE,
    },
}
"""What a module may have that a component of a kind builds."""

OF_ANY: Mapping[str, str] = {
    "reset_parameters": "fills all parameters and buffers that the module itself holds; one with any must have it",
    "initialize": "`initialize(scheme)` fills those of its parts too, in place of all that would start them; for a "
    "module with published weights to load",
    "fill_buffers": "fills what no checkpoint holds, where a module with `initialize` is about to get trained weights",
    "complete": "`complete(network)` is called once when all is started, to hand other parts what was loaded",
    "into_residual": "True where its result is added to the residual stream, for the scale of `normal`'s start",
    "to_vocabulary": "True where its result is logits, for starts and optimizers that treat such a matrix otherwise",
    "prepared": "gives a function of the arguments of `forward`, for evaluation, in which parameters are found already",
    "breaks_graphs": "a sentence: why `torch.compile` cannot take it in one graph",
    "flops_per_token": "`flops_per_token(seq_len)` counts the operations of a token's forward pass, where these are "
    "not two for each weight",
    "saved_bytes_per_token": "`saved_bytes_per_token(seq_len, width)` counts what is kept for the backward pass, where "
    "that is not the inputs of linear layers; `width` is the bytes of an element in the working precision",
    "shared_tables": "`shared_tables(seq_len, width)` gives the bytes of tables that are kept once for all layers that "
    "share them, each by a key that these have in common",
    "encoded_elements": "counts the elements of q and k that a positional encoding leaves behind more",
    "active_elements": "yields (parameter, elements of it) that one token uses, where these are not all",
}
"""What any module may have, of whatever kind the component is."""
