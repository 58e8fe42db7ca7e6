"""The kinds of component that stlm itself asks for: what each is, what its `build` takes and gives, what else it has.

A plugin's `choice` or `block` may name other kinds; of those stlm knows only that their components have a `build`.
"""

from collections.abc import Mapping

import attrs

from stlm.registry.module_acts import OF_ANY, OF_KIND


@attrs.frozen
class Kind:
    """The contract of one kind.

    ``takes`` are the arguments of `build` (those after a ``*`` by name), None where a kind has no `build`; ``offers``
    are more, which it gets by name where it has a parameter of that name, with a default; ``gives`` says what it
    returns, where ``gives_module`` a part of a network, and ``given_has`` what that always has. ``needs`` are
    attributes, options or methods that every component of the kind has, ``may`` those that it may have: each with what
    it means. A public name that is nearly one of these, but none of them, is refused: a misspelled act would silently
    do nothing. Of the acts in ``together`` a component has all or none. ``type_key`` is the key by which one is chosen
    in a mapping of its own, where its options stand as well.
    """

    name: str
    doc: str
    takes: tuple[str, ...] | None = ("model",)
    gives: str = ""
    gives_module: bool = False
    given_has: Mapping[str, str] = attrs.field(factory=dict, eq=False)
    offers: Mapping[str, str] = attrs.field(factory=dict, eq=False)
    needs: Mapping[str, str] = attrs.field(factory=dict, eq=False)
    may: Mapping[str, str] = attrs.field(factory=dict, eq=False)
    together: tuple[str, ...] = ()
    type_key: str = ""

    @property
    def returns(self) -> str:
        """What `build` returns, in words."""
        return ": ".join(filter(None, ("a torch.nn.Module" if self.gives_module else "", self.gives)))

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
            gives="`forward(token_ids)` gives logits (batch, seq, vocab), with `state=`, `positions=` and `segments=`",
            gives_module=True,
            given_has={
                "token_states": "`token_states(token_ids)` gives what a loss needs, a row a token, and the Context; it "
                "takes what `forward` takes, and `reach=` where `takes_branches` is True",
                "init_state": "`init_state(batch, max_tokens)` gives a `state`, or None where it keeps nothing",
                "embedder": "what the embedding built",
                "core": "what the core built",
                "head": "what the head built",
                "positional_encoding": "what the positional encoding built",
            },
        ),
        Kind(
            "core_model",
            "Turns embedded tokens into the last hidden state.",
            gives="`forward(x, context, state=None)`, (batch, seq, hidden) to the same. An attention or a feed-forward "
            "network is built by `stlm.registry.build_in_layer(part, model, layer)`, with the number of its block, "
            "counted from 0",
            gives_module=True,
            may={
                "num_layers": "how many blocks lie on the residual stream, for the scale of `normal`'s start",
                "fetch": "`fetch(weights=…)` downloads what `build` reads, before it is called for a real device",
                "kept_in": "`kept_in(folder)` gives the same component, which reads what its module's `keep` wrote",
            },
        ),
        Kind(
            "embedding",
            "Turns token ids into vectors.",
            gives="`forward(token_ids, context)` gives (batch, hidden_seq, hidden)",
            gives_module=True,
            given_has={
                "tied_weight": "the head's matrix, or None",
                "positions_per_token": "1.0 where it pools nothing",
            },
        ),
        Kind(
            "lm_head",
            "Turns the last hidden state into scores over the vocabulary.",
            gives_module=True,
            given_has={
                "token_states": "`token_states(hidden, context)` gives one row a token",
                "project": "`project(states)` gives the scores of such rows",
                "tie": "`tie(weight)` shares the embedding's matrix",
            },
        ),
        Kind(
            "attention",
            "Mixes positions; the first half of a block.",
            gives="`forward(x, context, state=None)`, (batch, seq, hidden) to the same, its norm inside and the "
            "residual not",
            gives_module=True,
            offers=_LAYER,
            type_key="attn_type",
        ),
        Kind(
            "ffn",
            "Works on each position by itself; the second half of a block.",
            gives="`forward(x, context)`, (batch, seq, hidden) to the same, its `norm` inside and the residual not",
            gives_module=True,
            offers=_LAYER,
            type_key="ffn_type",
        ),
        Kind("norm", "Normalizes a vector.", ("model", "dim"), "(..., dim) to the same", gives_module=True),
        Kind("activation", "A nonlinearity, element by element.", gives="(...) to the same", gives_module=True),
        Kind(
            "positional_encoding",
            "Tells the model where a token stands.",
            gives="it acts at the input (`at_input`), on q and k (`on_qk`, or `on_heads`), on both, or on neither",
            gives_module=True,
            may={
                "acts_on": 'where it acts, for attentions that ask when a spec is read: `("input",)`, `("qk",)`, '
                "both or `()`; one that says nothing is taken to act on both",
            },
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
            "a tokenizer",
            given_has={
                "encode_batch": "`encode_batch(texts)` gives a list of token ids for each text",
                "decode": "`decode(ids)` gives their text, whatever ids they are",
                "decode_bytes": "`decode_bytes(ids)` gives the bytes of that text",
                "normalize": "`normalize(text)` gives the text as it comes back",
                "save": "`save(folder)` writes what the component's `load` reads",
                "vocab_size": "its size; its ids are below it",
                "eot_id": "the id of the end of a text",
                "mask_id": "the id that stands for what is hidden",
                "fingerprint": "a text that tells it apart from others",
            },
            needs={
                "vocab_size": "its size, known without its files",
                "load": "`load(folder)` reads what its tokenizer's `save` wrote",
            },
        ),
        Kind(
            "dataset",
            "A source of documents.",
            ("spec",),
            "a source",
            given_has={
                "documents": "`documents()` yields texts, the same each time",
                "fingerprint": "`fingerprint()` gives a text that tells them apart from others",
            },
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
            "an object",
            given_has={
                "order": "`order(start, count)` gives the windows of the samples from `start` on, a pure function; the "
                "`num_windows` of an epoch come once each",
            },
        ),
        Kind(
            "dataloader",
            "Tokens to batches.",
            ("trainer", "tokens", "sampling", "context_window"),
            "an object",
            given_has={
                "batch": "`batch(step, micro_step)` gives a Batch, and always the same one; its targets are the inputs "
                "shifted by one",
            },
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
            type_key="optimizer_name",
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
            type_key="trainer_type",
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
                "needs_no_network": "True where the rows are part of the package: unless others are named, those of a "
                "model without a trainer are these",
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
                "examples": "`model` sections, as nested mappings, that it has nothing against: the checks look at "
                "what it makes of them, beside the decoders that they know themselves",
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
