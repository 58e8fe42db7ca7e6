"""Defaults are the published ones, and those that the README names."""

import re
from pathlib import Path

import pytest

from stlm.registry import make_component
from stlm.spec.declaration import declaration_of

README = Path(__file__).parents[1] / "README.md"

PUBLISHED = [
    ("Lion", {"lr": 1e-4, "beta1": 0.9, "beta2": 0.99}, "arXiv:2302.06675, and lion_pytorch.Lion"),
    ("Muon", {"momentum": 0.95, "nesterov": True, "ns_steps": 5, "weight_decay": 0.1}, "torch.optim.Muon"),
    ("Muon", {"adjust_lr": "match_rms_adamw"}, "arXiv:2502.16982, the rate and decay of AdamW are to be usable"),
    ("Muon", {"adamw_beta1": 0.9, "adamw_beta2": 0.95}, "MuonWithAuxAdam of Jordan et al."),
    ("SOAP", {"lr": 3e-3, "beta1": 0.95, "beta2": 0.95, "shampoo_beta": 0.95}, "arXiv:2409.11321, the authors' SOAP"),
    ("SOAP", {"weight_decay": 0.01, "precondition_frequency": 10, "max_precond_dim": 10_000}, "the authors' SOAP"),
    ("schedule_free", {"lr": 2.5e-3, "weight_decay": 0.0, "beta1": 0.9, "beta2": 0.999}, "AdamWScheduleFree"),
]


@pytest.mark.parametrize(("name", "defaults", "source"), PUBLISHED)
def test_defaults_are_those_that_were_published(name, defaults, source):
    made = make_component("optimizer", name)
    assert {key: getattr(made, key) for key in defaults} == defaults, source


def test_a_schedule_falls_as_was_published(small):
    """By 1 - √x over the last fifth: Hägele et al., 2024 (arXiv:2405.18392)."""
    made = small("soap", "trainer.lr_scheduler=wsd", "trainer.max_iters=100").trainer.lr_scheduler
    assert (made.decay_shape, made.decay_iters, made.lr_decay_iters, made.decay_lr) == ("1-sqrt", 20, 100, True)


def rows_of(readme):
    """The rows of the table of optimizers' options: (option, optimizer, default)."""
    rows = []
    for line in readme.read_text().split("## Schedules")[0].splitlines():
        if line.startswith("| `"):
            options, owners, defaults, _ = (cell.strip() for cell in line.strip("|").split(" | "))
            pairs = list(zip(re.findall(r"`(\w+)`", options), defaults.split(", "), strict=True))
            rows += [(*pair, owner) for pair in pairs for owner in re.findall(r"`(\w+)`", owners)]
    return rows


def test_the_readme_names_every_option_and_its_default():
    rows = rows_of(README)
    owners = {owner for _, _, owner in rows}
    made = {owner: make_component("optimizer", owner) for owner in owners}
    declared = [(option, owner) for owner in owners for option in declaration_of(type(made[owner])).slots]
    assert sorted((option, owner) for option, _, owner in rows) == sorted(declared)
    for option, said, owner in rows:
        default = getattr(made[owner], option)
        wanted = str(getattr(made[owner], said.strip("`"))) if said.startswith("`") else said
        assert str(default).lower() == wanted.lower() or float(default) == float(wanted), (option, owner)
