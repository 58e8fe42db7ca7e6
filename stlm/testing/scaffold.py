"""A package to start from: one component that keeps its contract, its tests, and a spec that trains with it."""

import ast
import contextlib
import importlib.metadata
import keyword
import re
from importlib import resources
from pathlib import Path

import attrs

from stlm.registry.manager import Registry, installed
from stlm.registry.version import CONTRACT
from stlm.spec.errors import UsageError
from stlm.spec.reading import read_value
from stlm.spec.structure import plain
from stlm.spec.suggest import nearest

PREFIX = "stlm-"

COMMON = {
    "pyproject.toml": "pyproject.toml.in",
    "README.md": "README.md.in",
    ".gitignore": "gitignore.in",
    ".github/workflows/test.yml": "test.yml.in",
    "tests/test_contract.py": "test_contract.py.in",
    "@module@/__init__.py": "init.py.in",
    "@name@.yaml": "spec.yaml.in",
}
"""What every package has: the file, and its template."""

IN_SPEC: dict[str, tuple[str, str]] = {
    "model_shell": ("model_shell_type: standard", "model_shell_type: @name@"),
    "core_model": ("core_model_type: generic", "core_model_type: @name@"),
    "embedding": ("embedding_model_type: generic", "embedding_model_type: @name@\n  rank: 32"),
    "lm_head": ("lm_head_type: generic", "lm_head_type: @name@\n  logit_cap: 30.0"),
    "attention": ("attn_type: causal\n    num_kv_heads: 4", "attn_type: @name@\n    num_heads: 4"),
    "ffn": ("ffn_type: generic\n    ffn_dim: 256\n    activation: gelu", "ffn_type: @name@\n    ffn_dim: 256"),
    "norm": ("normalization: rms_norm", "normalization: @name@"),
    "activation": ("activation: gelu", "activation: @name@\n    sharpness: 1.702"),
    "positional_encoding": ("positional_encoding_type: rope", "positional_encoding_type: @name@"),
    "initialization": ("initialization_fn: normal", "initialization_fn: @name@"),
    "tokenizer": (
        "tokenizer_type: bpe\n  vocab_size: 512\n  tokenizer_dataset_name: python_docs",
        "tokenizer_type: @name@",
    ),
    "dataset": ("  dataset: python_docs", "  dataset: @name@\n  num_documents: 2000"),
    "dataloader": ("dataloader: standard", "dataloader: @name@"),
    "datasampling": ("datasampling: standard", "datasampling: @name@"),
    "loss": ("loss_fn: cross_entropy", "loss_fn: @name@\n  smoothing: 0.1"),
    "lr_scheduler": ("lr_scheduler: cosine", "lr_scheduler: @name@"),
    "optimizer": ("optimizer_name: AdamW\n    lr: 3e-3", "optimizer_name: @name@\n    lr: 0.3"),
    "trainer": ("trainer_type: base_trainer", "trainer_type: @name@"),
    "benchmark": ("mcq_benchmarks: []", "mcq_benchmarks: [@name@]"),
    "hook": ("hooks: []", "hooks: [@name@]"),
    "export": ("ffn_type: generic\n    ffn_dim: 256\n    activation: gelu", "ffn_type: silu_ffn\n    ffn_dim: 168"),
}
"""How the spec of a kind departs from the one that they share."""

USED = {
    "sampler": "; a trained run is generated from with `stlm generate RUN --sampler @name@`",
    "export": "; a trained run is written out with `stlm export RUN DIR --as @name@`",
}
"""How that is used which no spec names."""

NOTED = {
    "tokenizer": "\n- Its `fingerprint` stands for the encoding. Give it another value whenever the same text would "
    "become other ids: tokens\n  that were prepared before are found by it, and would be taken for those of today.",
}
"""What an author of a kind has to keep in mind."""


@attrs.frozen
class Package:
    """What a package is called: as a distribution, as a module, as a component and as a class."""

    package: str
    kind: str

    @property
    def name(self) -> str:
        """The component's name."""
        return self.package.removeprefix(PREFIX).replace("-", "_")

    @property
    def words(self) -> dict[str, str]:
        """What stands in the templates, and what for."""
        class_name = "".join(part.capitalize() for part in self.name.split("_"))
        return {
            "package": self.package,
            "module": self.package.replace("-", "_"),
            "kind": self.kind,
            "Kind": self.kind.replace("_", " ").capitalize(),
            "name": self.name,
            "Class": class_name,
            "contract": str(CONTRACT),
        }


def kinds() -> list[str]:
    """The kinds that there is a template for."""
    return sorted(folder.name for folder in _templates().iterdir() if folder.is_dir())  # type: ignore[attr-defined]


def files(package: Package) -> dict[str, str]:
    """The files of a package by their path in it, complete."""
    own = _templates() / package.kind
    texts = {path: (_templates() / template).read_text(encoding="utf-8") for path, template in COMMON.items()}
    for template in own.iterdir():
        target = "@name@.py" if template.name == "component.py.in" else template.name.removesuffix(".in")
        texts[f"@module@/{target}"] = template.read_text(encoding="utf-8")
    old, new = IN_SPEC.get(package.kind, ("", ""))
    spec = texts["@name@.yaml"]
    assert old in spec, f"the shared spec no longer says {old!r}"
    texts["@name@.yaml"] = spec.replace(old, new, 1)
    declaration, module = texts["@module@/@name@.py"], texts.get("@module@/module.py")
    link = "[@module@/module.py](@module@/module.py)"
    words = {
        **package.words,
        "says": _first_sentence(declaration),
        "does": "how it is built" if "def build(" in declaration else "what it does",
        "used": USED.get(package.kind, ""),
        "module_line": f"\n- {link} is {_first_words(module)}." if module else "",
        "noted": NOTED.get(package.kind, ""),
    }
    return {_filled(path, words): _filled(text, words) for path, text in texts.items()}


def write_package(name: str, kind: str, into: Path = Path(), registry: Registry | None = None) -> Path:
    """Write a package into a new folder that bears its name, and return that.

    Raises `UsageError` for a name or a kind that cannot be, and where the folder is there already.
    """
    package = Package(name, kind)
    _refuse(package, registry or installed())
    folder = into / name
    written = files(package)
    try:
        folder.mkdir()
    except FileExistsError:
        raise UsageError(f"`{folder}` exists; choose another name, or remove it first") from None
    except OSError as error:
        raise UsageError(f"`{folder}` cannot be made: {error.strerror}") from None
    for path, text in written.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


def _refuse(package: Package, registry: Registry) -> None:
    if package.kind not in kinds():
        hint = "; ".join((*nearest(package.kind, kinds()), f"kinds: {', '.join(kinds())}"))
        raise UsageError(f"there is no kind `{package.kind}`; {hint}")
    name, why = package.package, _obstacle(package)
    if why is not None:
        raise UsageError(f"`{name}` cannot be the name: {why}; {_ALLOWED}: `{_nearby(package)}`, say")
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        version = importlib.metadata.version(name)
        raise UsageError(f"`{name}` {version} is installed already; choose another name")
    there = registry.installed.entries.get(package.kind, {}).get(package.name)
    if there:
        raise UsageError(
            f"{package.kind} `{package.name}` is there already, of {there[0].distribution}; choose another name"
        )


_ALLOWED = f"a name is `{PREFIX}` and words of lower-case letters and digits, a letter first, joined by `-`"


def _obstacle(package: Package) -> str | None:
    """Why a name cannot be, whatever is installed: None where it can."""
    name, class_name = package.name, package.words["Class"]
    if not re.fullmatch(rf"{PREFIX}[a-z][a-z0-9]*(-[a-z0-9]+)*", package.package):
        return "it is not of the form that a package's has"
    for what, word in (("component's module", name), ("class", class_name)):
        if keyword.iskeyword(word):
            return f"its {what} would be `{word}`, a keyword of Python"
    if not isinstance(plain(read_value(name, name, prefix="")), str):
        return f"YAML does not read `{name}` as a text"
    if name in _TAKEN:
        return f"its component's file would be `{name}.py`, which {_TAKEN[name]}"
    if class_name in _imported(_templates() / package.kind / "component.py.in"):
        return f"its class would be `{class_name}`, which its file imports under that name"
    return None


_TAKEN = {"module": "holds what it builds", "conftest": "pytest takes for its own"}
"""Names of files that a package has or may have beside its component's."""


def _nearby(package: Package) -> str:
    """A name that can be, as near to one that cannot as may be."""
    words = [word for word in re.split(r"[^a-z0-9]+", package.package.lower().removeprefix("stlm")) if word]
    said = "-".join(words).lstrip("0123456789-")
    tried = [f"{PREFIX}{said}", f"{PREFIX}my-{said}", f"{PREFIX}name"]
    return next(name for name in tried if _obstacle(Package(name, package.kind)) is None)


def _imported(template: Path) -> set[str]:
    """The names that a template imports at its head."""
    tree = ast.parse(re.sub(r"@(\w+)@", r"\1", template.read_text(encoding="utf-8")))
    imports = (node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom))
    return {alias.asname or alias.name for node in imports for alias in node.names}


def _templates() -> Path:
    return Path(str(resources.files("stlm.testing"))) / "templates"


def _first_sentence(source: str) -> str:
    """What the component's docstring says first."""
    found = re.search(r'class @Class@.*?:\n    """(.*?)(?:\n|""")', source, re.DOTALL)
    assert found is not None
    return found[1][0].lower() + found[1][1:]


def _first_words(module: str) -> str:
    """What the head of a module says that it is: the network, the tokenizer, …"""
    found = re.match(r'"""The (\w+) behind', module)
    assert found is not None
    return f"the {found[1]}"


def _filled(text: str, words: dict[str, str]) -> str:
    for _ in range(2):  # a word may hold others
        text = re.sub(r"@(\w+)@", lambda found: words.get(found[1], found[0]), text)
    return text
