"""The bench that components are looked at on: a small text, a small spec, and a place in it for each kind."""

import json
from collections.abc import Collection, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import attrs

from stlm.registry.loading import parse_spec
from stlm.registry.manager import Registry, installed
from stlm.spec import Spec, SpecError
from stlm.spec.canonical import components_of
from stlm.spec.components import NotFoundError
from stlm.spec.declaration import REQUIRED, Block, Choice, Declaration, Option, declaration_of
from stlm.spec.diagnostics import Place
from stlm.spec.reading import Mapping
from stlm.spec.resolve import Resolver
from stlm.spec.sections import SpecSections
from stlm.spec.structure import node_of
from stlm.testing.checking import NoValueError
from stlm.testing.plain import Plain, at, changed
from stlm.testing.values import small

VOCABULARY, WINDOW, HIDDEN = 300, 16, 16
ANIMALS = ("cat", "dog", "fox", "hen", "owl")
LINES = [f"The {ANIMALS[i % 5]} saw {i} cafés and the {ANIMALS[i % 3]} slept." for i in range(200)]
ATTEMPTS = 3


@attrs.frozen
class Home:
    """Where components of a kind are chosen: the mappings on the way, and the key there.

    ``alone``: the mapping is the component's own. ``many``: the key takes a list of names. ``through``: a component
    that must be chosen first, for a plugin's own kind that only the plugin asks for.
    """

    blocks: tuple[str, ...]
    key: str
    alone: bool = False
    many: bool = False
    through: tuple[str, str] | None = None


class Bench:
    """What specs for checks are made of; everything that is written stays in ``folder``."""

    def __init__(self, folder: Path, registry: Registry | None = None) -> None:
        self.folder = folder
        self.registry = registry or installed()
        self.text = folder / "corpus.jsonl"
        if not self.text.exists():
            folder.mkdir(parents=True, exist_ok=True)
            self.text.write_text("".join(json.dumps({"text": line}) + "\n" for line in LINES), encoding="utf-8")
        self.kept: dict[Any, Any] = {}
        """What several checks would otherwise work out alike."""

    @cached_property
    def base(self) -> Plain:
        """A spec of 16 dimensions and 2 layers, its weights drawn widely, as it would be written."""
        own = self._own
        model = {
            "model_shell_type": own("model_shell", "standard"),
            "core_model_type": own("core_model", "generic"),
            "embedding_model_type": own("embedding", "generic"),
            "lm_head_type": own("lm_head", "generic"),
            "positional_encoding_type": own("positional_encoding", "none"),
            "initialization_fn": own("initialization", "normal"),
            "std": 0.2,
            "hidden_dim": HIDDEN,
            "context_window": WINDOW,
            "num_layers": 2,
            "tokenizer_type": own("tokenizer", "bpe"),
            "vocab_size": VOCABULARY,
            "tokenizer_dataset_name": str(self.text),
            "tokenizer_simplify": False,
            "attn": {"attn_type": own("attention", "causal"), "num_kv_heads": 2},
            "ffn": {"ffn_type": own("ffn", "generic"), "ffn_dim": 32},
        }
        trainer = {
            "trainer_type": own("trainer", "base_trainer"),
            "dataset": str(self.text),
            "validation_fraction": 0.2,
            "dataloader": own("dataloader", "standard"),
            "datasampling": own("datasampling", "standard"),
            "lr_scheduler": own("lr_scheduler", "cosine"),
            "loss_fn": own("loss", "cross_entropy"),
            "batch_size": 4,
            "gradient_accumulation_steps": 2,
            "max_iters": 8,
            "warmup_iters": 2,
            "log_interval": 1,
            "eval_interval": 4,
            "checkpoint_interval": 3,
            "eval": {"dataset_loss_eval_iters": 2, "text_modeling_eval": False},
            "optimizer": {"optimizer_name": own("optimizer", "AdamW"), "lr": 1e-2},
        }
        paths = {"output_dir": str(self.folder / "outputs"), "data_dir": str(self.folder)}
        return {"model": model, "trainer": trainer, "general": {"device": "cpu", "paths": paths}}

    def _own(self, kind: str, name: str) -> str:
        """Name a component of stlm, whoever else brings that name."""
        return f"{name}@stlm" if len(self.registry.installed.entries[kind].get(name, ())) > 1 else name

    def parse(self, plain: Plain, *overrides: str) -> Spec:
        """Resolve a spec; raises `SpecError`. One that is said again is the one that was made of it before."""
        text = json.dumps(plain)
        key = ("spec", text, overrides)
        if key not in self.kept:
            made = parse_spec(text, overrides, registry=self.registry) if overrides else self.resolved(plain)
            self.kept[key] = made
        spec: Spec = self.kept[key]
        return spec

    def resolved(self, plain: Plain) -> Spec:
        """Resolve what a spec says, without a text of it: most of the time that a text takes goes into reading it."""
        place = Place("<bench>", 1, 1)
        root = node_of(plain, place)
        assert isinstance(root, Mapping)
        resolver = Resolver(self.registry, root, place)
        sections, provenance = resolver.run()
        if sections is None:
            raise SpecError(resolver.diagnostics)
        return Spec(sections.model, sections.trainer, sections.general, self.registry, provenance)

    @cached_property
    def homes(self) -> dict[str, Home]:
        """The place of each kind: in the base first, else in what a plugin brings."""
        found: dict[str, Home] = {}
        chosen = {type(held) for _, held in components_of(self.parse(self.base).sections)}
        for only_chosen in (True, False):
            self._look(declaration_of(SpecSections), (), None, found, set(), chosen if only_chosen else None)
        return found

    def _look(
        self,
        declaration: Declaration,
        blocks: tuple[str, ...],
        through: tuple[str, str] | None,
        found: dict[str, Home],
        seen: set[type],
        only: set[type] | None,
    ) -> None:
        seen.add(declaration.cls)
        for slot in declaration.slots.values():
            if isinstance(slot, Option):
                continue
            inside = (*blocks, slot.key) if isinstance(slot, Block) else blocks
            if isinstance(slot, Block) and slot.section is not None:
                self._look(declaration_of(slot.section), inside, through, found, seen, only)
                continue
            kind = str(slot.kind)
            is_block = isinstance(slot, Block)
            key = str(slot.type_key) if is_block else slot.key
            found.setdefault(kind, Home(inside, key, is_block, getattr(slot, "many", False), through))
            if kind == "tokenizer":  # the text that it is trained on is chosen there, and is not what is trained on
                continue
            for one in self.registry.all_of(kind):
                if one.cls not in seen and (only is None or one.cls in only):
                    past = through if only is not None else (kind, one.selector)
                    self._look(declaration_of(one.cls), inside, past, found, seen, only)

    @cached_property
    def _blocks(self) -> dict[str, Plain]:
        """What the base says in the mapping of each kind that has one of its own."""
        return {
            kind: at(self.base, home.blocks) for kind, home in self.homes.items() if home.alone and kind != "trainer"
        }

    def required(self, cls: type, nth: int = 0, known: Collection[str] = ()) -> Plain:
        """Say something small for every key that a component requires, apart from those that are ``known``.

        Raises `NoValueError` where that needs something from outside, such as a file.
        """
        declaration = declaration_of(cls)
        said: Plain = {}
        for field, slot in declaration.slots.items():
            if slot.key in known:
                continue
            if isinstance(slot, Option) and slot.default is REQUIRED:
                said[slot.key] = small(slot, declaration.types[field], nth)
            elif isinstance(slot, Block) and slot.required and slot.kind is not None:
                said[slot.key] = self._blocks.get(slot.kind) or self._first(slot.kind, str(slot.type_key), nth)
            elif isinstance(slot, Choice) and slot.default is REQUIRED and not slot.many:
                said |= self._first(slot.kind, slot.key, nth)
        return said

    def _first(self, kind: str, key: str, nth: int) -> Plain:
        name = next(iter(self.names(kind)), None)
        if name is None:
            raise NoValueError(f"`{key}` must be said, and no {kind} is installed")
        return {key: name, **self.required(self.registry.find(kind, name).cls, nth)}

    def choose(
        self, plain: Plain, home: Home, kind: str, name: str, *, nth: int = 0, options: Plain | None = None
    ) -> Plain:
        """Choose a component with what it requires in the place of another, whose own keys are gone."""
        cls = self.registry.find(kind, name).cls
        here, said = at(plain, home.blocks), self.required(cls, nth, options or ())
        old = here.get(home.key)
        gone: set[str] = set()
        for one in old if isinstance(old, list) else [] if old is None else [old]:
            gone |= keys_of(self.registry.find(kind, one).cls)
        kept = {key: value for key, value in here.items() if key not in gone - keys_of(cls)}
        named = {home.key: [name] if home.many else name}
        return changed(plain, home.blocks, {**said, **kept, **named, **(options or {})}, whole=True)

    def ways(self, kind: str, name: str, options: Plain | None = None) -> Iterator[Plain]:
        """Yield specs that choose a component: beside the usual parts first, then beside others that it may ask for."""
        home = self.homes[kind]
        base = self.base if home.through is None else next(self.ways(*home.through))
        made = [self.choose(base, home, kind, name, nth=nth, options=options) for nth in range(ATTEMPTS)]
        distinct = [plain for at_, plain in enumerate(made) if plain not in made[:at_]]
        yield from distinct
        for plain in distinct:
            yield from self.beside(plain, kind)

    def beside(self, plain: Plain, kind: str) -> Iterator[Plain]:
        """Yield specs in which one other kind has another component: a part may ask for those that it stands beside."""
        for other, home in self.homes.items():
            if other in (kind, "trainer", "tokenizer", "dataset", "hook", "benchmark") or home.through is not None:
                continue
            for name in self.names(other):
                try:
                    yield self.choose(plain, home, other, name)
                except (NoValueError, NotFoundError):
                    continue

    def good(self, ways: Iterator[Plain], wanted: type) -> tuple[Plain, Spec]:
        """The first of several specs that has no mistake and chooses the class that is ``wanted``.

        Raises the `SpecError` of the first one where there is none.
        """
        mistakes: list[SpecError] = []
        for plain in ways:
            try:
                spec = self.parse(plain)
            except SpecError as error:
                mistakes.append(error)
                continue
            if any(isinstance(held, wanted) for _, held in components_of(spec.sections)):
                return plain, spec
        raise mistakes[0]

    def names(self, kind: str) -> list[str]:
        """Names of the components of a kind, families aside; one that several packages claim is said with each."""
        claimed = self.registry.installed.entries.get(kind, {})
        return [
            f"{name}@{entry.distribution}" if len(claimed[name]) > 1 else name
            for name in self.registry.names(kind)
            if not name.endswith("*")
            for entry in claimed[name]
        ]


def keys_of(cls: type) -> set[str]:
    """The keys that a component declares."""
    return {slot.key for slot in declaration_of(cls).slots.values()}
