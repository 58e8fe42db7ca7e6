"""The kinds of component that stlm itself asks for: what each is, what its `build` takes and gives, what else it has.

A plugin's `choice` or `block` may name other kinds; of those stlm knows only that their components have a `build`.
"""

from collections.abc import Mapping

import attrs

from stlm.registry.module_acts import OF_ANY, OF_KIND

_MODULE = "a torch.nn.Module"


@attrs.frozen
class Kind:
    """The contract of one kind.

    ``takes`` are the arguments of `build` (those after a ``*`` by name), None where a kind has no `build`; ``offers``
    are more, which it gets by name where it has a parameter of that name, with a default; ``gives`` says what it
    returns. ``needs`` are attributes, options or methods that every component of the kind has, ``may``
    those that it may have: each with what it means. A public name that is nearly one of these, but none of them, is
    refused: a misspelled act would silently do nothing. Of the acts in ``together`` a component has all or none.
    """

    name: str
    doc: str
    takes: tuple[str, ...] | None = ("model",)
    gives: str = ""
    offers: Mapping[str, str] = attrs.field(factory=dict, eq=False)
    needs: Mapping[str, str] = attrs.field(factory=dict, eq=False)
    may: Mapping[str, str] = attrs.field(factory=dict, eq=False)
    together: tuple[str, ...] = ()

    @property
    def gives_module(self) -> bool:
        """Whether `build` returns a part of a network."""
        return self.gives.startswith(_MODULE)

    @property
    def module_may(self) -> Mapping[str, str]:
        """What a module that `build` returns may have, what any may have included."""
        return {**OF_KIND.get(self.name, {}), **OF_ANY} if self.gives_module else {}


_LAYER = {"layer": "the number of its block in the core, counted from 0; 0 in a core that does not count them"}

_PATTERN = "of a family: the regular expression of the names that it takes, where one can say it, for editors"

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "model_shell",
            "Joins embedder, core and head into one network.",
            gives=f"{_MODULE}: `forward(token_ids)` gives logits (batch, seq, vocab), `token_states(token_ids)` what a "
            "loss needs, both with `state=`, `positions=` and `segments=`; `token_states` with `reach=`, where "
            "`takes_branches` is True; it has `embedder`, `core`, `head`, `positional_encoding` and "
            "`init_state(batch, max_tokens)`",
        ),
        Kind(
            "core_model",
            "Turns embedded tokens into the last hidden state.",
            gives=f"{_MODULE}: `forward(x, context, state=None)`, (batch, seq, hidden) to the same. An attention or a "
            "feed-forward network is built by `stlm.registry.build_in_layer(part, model, layer)`, with the number of "
            "its block, counted from 0",
            may={
                "num_layers": "how many blocks lie on the residual stream, for the scale of `normal`'s start",
                "fetch": "`fetch(weights=…)` downloads what `build` reads, before it is called for a real device",
                "kept_in": "`kept_in(folder)` gives the same component, which reads what its module's `keep` wrote",
            },
        ),
        Kind(
            "embedding",
            "Turns token ids into vectors.",
            gives=f"{_MODULE}: `forward(token_ids, context)` gives (batch, hidden_seq, hidden); it has `tied_weight` "
            "(the head's matrix, or None) and `positions_per_token` (1.0 where it pools nothing)",
        ),
        Kind(
            "lm_head",
            "Turns the last hidden state into scores over the vocabulary.",
            gives=f"{_MODULE}: `token_states(hidden, context)` gives one row a token, `project(states)` its scores; "
            "`tie(weight)` shares the embedding's matrix",
        ),
        Kind(
            "attention",
            "Mixes positions; the first half of a block.",
            gives=f"{_MODULE}: `forward(x, context, state=None)`, (batch, seq, hidden) to the same, its norm inside "
            "and the residual not",
            offers=_LAYER,
        ),
        Kind(
            "ffn",
            "Works on each position by itself; the second half of a block.",
            gives=f"{_MODULE}: `forward(x, context)`, (batch, seq, hidden) to the same, its `norm` inside and the "
            "residual not",
            offers=_LAYER,
        ),
        Kind("norm", "Normalizes a vector.", ("model", "dim"), f"{_MODULE}: (..., dim) to the same"),
        Kind("activation", "A nonlinearity, element by element.", gives=f"{_MODULE}: (...) to the same"),
        Kind(
            "positional_encoding",
            "Tells the model where a token stands.",
            gives=f"{_MODULE} that acts at the input (`at_input`), on q and k (`on_qk`, or `on_heads`), on both, or on "
            "neither",
        ),
        Kind(
            "initialization",
            "How weights start.",
            gives="a function of a module, called for each that owns tensors, after its `reset_parameters`",
        ),
        Kind(
            "tokenizer",
            "Text to token ids and back.",
            ("spec",),
            "a tokenizer: `encode_batch`, `decode`, `decode_bytes`, `vocab_size`, `eot_id`, `mask_id`, `fingerprint`, "
            "`normalize`, `save(folder)`",
            needs={
                "vocab_size": "its size, known without its files",
                "load": "`load(folder)` reads what its tokenizer's `save` wrote",
            },
        ),
        Kind(
            "dataset",
            "A source of documents.",
            ("spec",),
            "a source: `documents()` yields texts, `fingerprint()` tells them apart from others",
            may={
                "accepts": "of a family: whether it takes a name",
                "pattern": _PATTERN,
                "expects": "of a family that takes any name: what it expects of one, for messages",
            },
        ),
        Kind(
            "datasampling",
            "The order in which windows of tokens are seen.",
            ("trainer", "num_windows", "seed"),
            "an object: `order(start, count)` gives the windows of the samples from `start` on, a pure function; the "
            "`num_windows` of an epoch come once each",
        ),
        Kind(
            "dataloader",
            "Tokens to batches.",
            ("trainer", "tokens", "sampling", "context_window"),
            "an object: `batch(step, micro_step)` gives a Batch, and always the same one; its targets are the inputs "
            "shifted by one",
        ),
        Kind(
            "loss",
            "What is minimized.",
            ("trainer",),
            "a callable of (states, head, batch): the sum of losses, and of how many tokens, which are those whose "
            "target is not IGNORE; `prepare(batch, generator, tokenizer)` where it changes the input, or what is asked",
            may={"rows_at_once": "rows of logits that it holds at once, for the prediction of memory"},
        ),
        Kind("lr_scheduler", "The learning rate by step.", ("trainer",), "a function of the step, counted from 0"),
        Kind(
            "optimizer",
            "How gradients change weights.",
            ("trainer", "network", "device"),
            "a torch.optim.Optimizer",
            needs={"lr": "the highest learning rate, from which schedules start"},
            may={
                "min_lr": "the rate at which a decay ends; 0 where it has none",
                "grad_clip": "the largest norm of the whole gradient; no clipping where it has none, or 0",
                "state_per_parameter": "values kept for each weight, in its format, for the prediction of memory",
                "state_bytes": "`state_bytes(network)` gives the bytes of its state, where it is not as many values "
                "for every weight; the network may be on the meta device",
            },
        ),
        Kind(
            "trainer",
            "The loop that trains.",
            ("program", "*", "folder", "data", "checkpoint"),
            "the state of a run, ready for the loop",
            needs={
                "dataset": "what is trained on",
                "batch_size": "sequences in a micro-batch",
                "gradient_accumulation_steps": "micro-batches in an optimizer step",
                "max_iters": "optimizer steps of the run",
                "validation_fraction": "share of documents held out",
                "precision": "`auto`, `fp32` or `bf16`",
                "loss_fn": "the loss",
                "optimizer": "the optimizer",
                "eval": "what is measured at each evaluation",
            },
        ),
        Kind(
            "benchmark",
            "Questions with choices, one of which is right.",
            None,
            needs={
                "items": "`items(num_samples, seed)` gives a list of `stlm.evaluation.items.Item`, of the rows that "
                "`stlm.evaluation.drawing` draws (all for 0), so that every model is asked the same ones. Where rows "
                "cannot be had, it raises `WorkError`, and the run goes on without them. Of several processes one "
                "alone calls it. `stlm.components.benchmark.questions.Questions` makes it of `rows()` and "
                "`question(row)`",
            },
            may={
                "accepts": "of a family: whether it takes a name",
                "pattern": _PATTERN,
                "meant": "of a family: lines of help for a name that it does not take",
                "by_group": "True where the score is the mean of the groups' scores, not of the rows'",
            },
        ),
        Kind(
            "sampler",
            "How the next token is chosen from scores.",
            (),
            "a callable of (logits, history, generator): the ids of the next tokens",
        ),
        Kind(
            "export",
            "An architecture of another library: how a model is written as it, and how one of it is read.",
            None,
            needs={
                "architecture": "its name in that library",
                "blockers": "`blockers(spec)` lists (key path, what it must be) for each key in the way",
                "config": "`config(model)` gives what config.json says, for a spec without blockers",
                "weights": "`weights(model, config)` lists a `stlm.interchange.weights.Weight` for each tensor, ours "
                "beside theirs: the one table by which a model is written and read",
            },
            may={
                "model_types": "the `model_type`s of the config.json files that it reads; none where it only writes",
                "unreadable": "`unreadable(config)` lists (key, why) for each key of such a file that no spec can say",
                "section": "`section(config, folder)` gives the `model` section that such a file means, where "
                "nothing is in the way; the tokenizer's files are in `folder`",
                "leftovers": "endings of names of tensors that are no weights, and are passed over in reading",
            },
            together=("model_types", "section"),
        ),
        Kind(
            "hook",
            "Takes part in the moments of a run; what is open for one run alone joins by `run.plugins.register(…)`.",
            None,
        ),
    )
}
