"""Every value of every option: what a spec accepts can be built, is counted, trains, and makes a difference."""

import hashlib
from typing import Any

import torch
from torch import Tensor

from stlm.spec import Spec, SpecError, StlmError
from stlm.spec.declaration import Option, declaration_of
from stlm.testing.checking import BrokenError, check, hold, no_promise
from stlm.testing.kits.network import NETWORK
from stlm.testing.plain import changed
from stlm.testing.subject import Subject
from stlm.testing.tensors import by_module, differentiated, objective, token_ids
from stlm.testing.values import corners
from stlm.testing.variants import Variant, may_differ, refuses, variants


@check("accepted-values", *NETWORK)
def accepted_values(subject: Subject) -> None:
    """A number that a spec accepts for an option can be built and computed: a 0 or -1 without a sense is refused."""
    declaration = declaration_of(subject.cls)
    tried = 0
    for field, slot in declaration.slots.items():
        for value in corners(slot, declaration.types[field]) if isinstance(slot, Option) else ():
            assert subject.home is not None
            if not tried:
                _compute(subject, subject.spec)  # what fails as it is, is the fault of no value
            tried += 1
            try:
                spec = subject.bench.parse(changed(subject.plain, subject.home.blocks, {slot.key: value}))
            except SpecError as error:  # a rule refuses it
                refuses(error, f"`{slot.key}: {value}`")
                continue
            why = _failure(subject, spec)
            hold(
                why is None,
                f"a spec accepts `{slot.key}: {value}`, which cannot be built or computed: {why}; give it a check",
            )
    if not tried:
        no_promise("no option takes 0 or less")


def _compute(subject: Subject, spec: Spec) -> None:
    """Build a network and compute logits once."""
    with torch.no_grad():
        subject.network(spec)(token_ids(2, min(16, spec.model.context_window)))


def _failure(subject: Subject, spec: Spec) -> str | None:
    """Why a spec is of no use; None where it is, or where the component itself said what is wrong."""
    try:
        _compute(subject, spec)
    except SpecError as error:
        return None if isinstance(error.__cause__, StlmError) else error.diagnostics[0].message
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def variants_of(subject: Subject) -> list[Variant]:
    """The specs in which one of its options is not as it was; kept, for several checks look at them."""
    key = ("variants", subject.kind, subject.name, str(subject.options))
    if key not in subject.bench.kept:
        assert subject.home is not None
        declaration = declaration_of(subject.cls)
        owner, blocks = f"{subject.kind} {subject.name}", subject.home.blocks
        subject.bench.kept[key] = list(variants(subject.bench, subject.plain, blocks, declaration, owner))
    found: list[Variant] = subject.bench.kept[key]
    return found


@check("every-option", *NETWORK)
def every_option(subject: Subject) -> None:
    """With each value of each option it is read back, counted as built, and gives finite logits and gradients."""
    found = variants_of(subject)
    if not found:
        no_promise("it has no option that takes another value")
    _compute(subject, subject.spec)  # what fails as it is, is the fault of no value
    for variant in found:
        try:
            look_at_variant(subject, variant)
        except BrokenError:
            raise
        except Exception as error:
            raise BrokenError(f"with {variant}: {type(error).__name__}: {error}") from error


def look_at_variant(subject: Subject, variant: Variant) -> None:
    """Hold that a spec with another value is as good as the one with the usual value."""
    spec = variant.spec
    again = subject.bench.resolved(spec.to_plain())  # that its text is read back so, `canonical` looks at
    hold((again, again.digest) == (spec, spec.digest), f"with {variant} its spec is not read back as it was")
    try:
        counts, model = subject.compiled(spec, "meta").report.parameters, subject.network(spec)
    except SpecError as error:
        hold(False, f"with {variant}: {error.diagnostics[0].message}")
    hold(counts.by_module == by_module(model), f"with {variant} other parameters are counted than are built")
    ids = token_ids(4, min(16, spec.model.context_window))
    logits = model(ids)
    wanted = (*ids.shape, spec.model.tokenizer.vocab_size)
    hold(logits.shape == wanted, f"with {variant} its logits are {tuple(logits.shape)}, not {wanted}")
    hold(logits.isfinite().all(), f"with {variant} its logits are not finite")
    torch.manual_seed(0)
    for name, parameter in differentiated(model.train(), (4, ids.shape[1])):
        reached = not parameter.requires_grad or (parameter.grad is not None and parameter.grad.abs().sum() > 0)
        hold(reached, f"with {variant} no gradient reaches `{name}`")


@check("no-idle-option", *NETWORK)
def no_idle_option(subject: Subject) -> None:
    """Each option makes a difference: to costs, to the start, to logits, or to gradients."""
    declaration = declaration_of(subject.cls)
    keys = [
        slot.key
        for field, slot in declaration.slots.items()
        if may_differ(subject.bench, slot, declaration.types[field])
    ]
    if not keys:
        no_promise("it has no option that takes another value")
    idle = idle_keys(subject, variants_of(subject), keys)
    hold(not idle, f"no value of {', '.join(f'`{key}`' for key in sorted(idle))} changes anything that it does")


def idle_keys(subject: Subject, found: list[Variant], keys: list[str]) -> set[str]:
    """Find the keys of which no variant differs from its base in anything that can be told of a network."""
    seen: dict[str, bool] = {}
    base: dict[str, Any] = {}
    for variant in found:
        if not seen.get(variant.key):
            base = base or observed(subject, variant.base)
            seen[variant.key] = observed(subject, variant.spec) != base
    return {key for key in keys if not seen.get(key)}


def observed(subject: Subject, spec: Spec) -> dict[str, Any]:
    """What can be told of a network: its costs, its start, what it computes, and, in training, its gradients."""
    report, model = subject.compiled(spec, "meta").report, subject.compiled(spec).model
    ids = token_ids(2, min(16, spec.model.context_window))
    start = {key: _told(tensor) for key, tensor in model.state_dict().items()}
    logits = _told(model.eval()(ids))
    torch.manual_seed(0)
    objective(model.train(), ids).backward()
    return {
        "costs": (report.parameters, report.flops_per_token, report.memory),
        "start": start,
        "logits": logits,
        "gradients": {key: _told(p.grad) for key, p in model.named_parameters() if p.grad is not None},
    }


def _told(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {hashlib.sha256(tensor.detach().numpy().tobytes()).hexdigest()}"
