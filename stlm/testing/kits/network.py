"""What every network must do, whoever made its parts: be counted, started, trained, stored and left as it was found."""

import tempfile
from pathlib import Path

import torch

from stlm.registry.kinds import KINDS
from stlm.testing.checking import check, hold
from stlm.testing.plain import changed
from stlm.testing.state import unchanged
from stlm.testing.subject import Subject
from stlm.testing.tensors import by_module, differentiated, objective, token_ids
from stlm.training.weights import load_weights, save_weights

NETWORK = (*(kind.name for kind in KINDS.values() if kind.gives_module), "initialization")
"""The kinds that a network is made of."""


@check("builds-on-meta", *NETWORK)
def builds_on_meta(subject: Subject) -> None:
    """A dry run builds it on the meta device, where tensors have shapes and no numbers, and cost no memory."""
    model = subject.compiled(device="meta").model
    held = (*model.named_parameters(), *model.named_buffers())
    real = [name for name, tensor in held if not tensor.is_meta]
    hold(not real, f"in a dry run `{real[0] if real else ''}` takes memory: its constructor computes it")


@check("counted-as-built", *NETWORK)
def counted_as_built(subject: Subject) -> None:
    """The parameters that a dry run counts, module by module, are those that are built."""
    counts, model = subject.compiled(device="meta").report.parameters, subject.network()
    built = by_module(model)
    for path in {**counts.by_module, **built}:
        told, there = counts.by_module.get(path, 0), built.get(path, 0)
        hold(told == there, f"a dry run counts {told:,} parameters in `{path}`, and {there:,} are built")
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    hold(counts.trainable == trainable, f"{counts.trainable:,} are counted as trainable, and {trainable:,} are")


@check("costs", *NETWORK)
def costs(subject: Subject) -> None:
    """What it costs is told in numbers above 0, and no more parameters are active than there are."""
    report = subject.compiled(device="meta").report
    counts, forward = report.parameters, report.flops_per_token["forward"]
    hold(0 < counts.active <= counts.total, f"{counts.active:,} of {counts.total:,} parameters are told to be active")
    hold(forward > 0, f"a token is told to cost {forward:,} operations")
    hold(report.memory.activations > 0, f"its activations are told to take {report.memory.activations:,} bytes")


@check("shapes", *NETWORK)
def shapes(subject: Subject) -> None:
    """A network with it gives finite logits (batch, seq, vocab), of a short text and a single token too."""
    model = subject.network()
    vocab = subject.spec.model.tokenizer.vocab_size
    for batch, seq in ((2, 16), (1, 1), (3, 7)):
        logits = model(token_ids(batch, seq))
        wanted = (batch, seq, vocab)
        hold(tuple(logits.shape) == wanted, f"logits of {(batch, seq)} tokens are {tuple(logits.shape)}, not {wanted}")
        hold(logits.isfinite().all(), f"logits of {(batch, seq)} tokens are not finite")


@check("gradients", *NETWORK)
def gradients(subject: Subject) -> None:
    """The backward pass gives every trainable parameter a gradient, finite and somewhere not 0.

    Several batches may be needed for that where it depends on the tokens which parameters they meet.
    """
    model = subject.network().train()
    torch.manual_seed(0)
    for name, parameter in differentiated(model, (8, 16)):
        if not parameter.requires_grad:
            continue
        hold(parameter.grad is not None, f"`{name}` has no gradient: nothing that is computed depends on it")
        hold(parameter.grad.isfinite().all(), f"the gradient of `{name}` is not finite")
        hold(parameter.grad.any(), f"the gradient of `{name}` is 0 everywhere")


@check("constant-buffers", *NETWORK)
def constant_buffers(subject: Subject) -> None:
    """A forward pass of training changes no buffer: each of several processes would have another, and keep its own."""
    model = subject.network().train()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    objective(model, token_ids()).backward()
    for name, buffer in model.named_buffers():
        hold(torch.equal(buffer, before[name]), f"a forward pass changes the buffer `{name}`")


@check("deterministic", *NETWORK)
def deterministic(subject: Subject) -> None:
    """Its start depends on `general.seed` alone, and the same input gives the same numbers twice."""

    def start(seed: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(seed + 1)  # must make no difference
        seeded = subject.bench.parse(changed(subject.plain, ("general",), {"seed": seed}))
        return dict(subject.compiled(seeded).model.state_dict())

    with torch.random.fork_rng(devices=[]):
        one, same, other = start(0), start(0), start(1)
        for name in one:
            hold(torch.equal(one[name], same[name]), f"`{name}` starts otherwise a second time, from the same seed")
        hold(not all(torch.equal(one[name], other[name]) for name in one), "another seed gives the same start")
        model = subject.network()
        first = model(token_ids())
        torch.rand(7)
        hold(torch.equal(first, model(token_ids())), "the same tokens give other logits a second time, in evaluation")


@check("global-state", *NETWORK)
def global_state(subject: Subject) -> None:
    """Building, computing and differentiating leave torch and the process as they were found."""
    with unchanged("compiling it"):
        model = subject.network()
    with unchanged("its forward pass"):
        logits = model(token_ids())
    with unchanged("its backward pass"):
        logits.sum().backward()


@check("saves-and-loads", *NETWORK)
def saves_and_loads(subject: Subject) -> None:
    """Weights that are written, and read into a network with others, give the same numbers: all of it is stored."""
    model, other = subject.network(), subject.network()
    with torch.no_grad(), tempfile.TemporaryDirectory(dir=subject.bench.folder) as folder:
        for parameter in other.parameters():
            parameter.add_(1.0)
        save_weights(model, Path(folder) / "model.safetensors")
        load_weights(other, Path(folder) / "model.safetensors")
        hold(
            torch.equal(model(token_ids()), other(token_ids())), "a network that was stored and read gives other logits"
        )
