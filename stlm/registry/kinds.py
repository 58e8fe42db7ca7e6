"""The kinds of component that stlm itself asks for. A plugin's `choice` or `block` may name others."""

import attrs


@attrs.frozen
class Kind:
    """One kind: what it is for, and the acts that a component of it must have (``build`` unless said otherwise)."""

    name: str
    doc: str
    acts: tuple[str, ...] = ("build",)


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("model_shell", "Joins embedder, core and head into one network."),
        Kind("core_model", "Turns embedded tokens into the last hidden state."),
        Kind("embedding", "Turns token ids into vectors."),
        Kind("lm_head", "Turns the last hidden state into scores over the vocabulary."),
        Kind("attention", "Mixes positions; the first half of a block."),
        Kind("ffn", "Works on each position by itself; the second half of a block."),
        Kind("norm", "Normalizes a vector."),
        Kind("activation", "A nonlinearity, element by element."),
        Kind("positional_encoding", "Tells the model where a token stands."),
        Kind("initialization", "How weights start."),
        Kind("tokenizer", "Text to token ids and back.", ("build", "vocab_size")),
        Kind("dataset", "A source of documents."),
        Kind("dataloader", "Tokens to batches."),
        Kind("datasampling", "The order in which windows of tokens are seen."),
        Kind("loss", "What is minimized."),
        Kind("lr_scheduler", "The learning rate by step."),
        Kind("optimizer", "How gradients change weights."),
        Kind("trainer", "The loop that trains."),
        Kind("benchmark", "Questions with choices, one of which is right.", ("items",)),
        Kind("sampler", "How the next token is chosen from scores."),
        Kind(
            "export", "An architecture of another library that a model can be written as.", ("architecture", "blockers")
        ),
        Kind("hook", "Takes part in the moments of a run.", ()),
    )
}
