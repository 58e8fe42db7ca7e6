"""The loss of an untrained model divided by ln(vocabulary), for each shipped spec under each initialization.

    python tests/benchmarks/untrained_loss.py [SPEC ...] [--num-layers N ...]

Prints a table: a row a spec, a column an initialization, in each cell the loss with tied and with untied embeddings. 1
is a model that guesses evenly. Tokens are drawn at random, 256 of them in sequences of at most the context window. A
spec whose weights take more than 6 GiB is cut to the layers that fit; `--num-layers` cuts all of them.
"""

import argparse
import gc
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from stlm.cli.shipped import folder, names
from stlm.compiler import compile
from stlm.registry import load_spec
from stlm.registry.manager import Registry
from stlm.spec import Spec

ROOM = 6 * 2**30
TOKENS = 256


def initializations() -> list[str]:
    """Name the initializations that are installed."""
    return sorted(entry.name for entry in Registry().entries() if entry.kind == "initialization")


def chosen(name: str, scheme: str, tied: bool, num_layers: int | None) -> Spec:
    """Read a shipped spec with another initialization, its own options kept where it is its own."""
    changes = {"initialization_fn": scheme, "embedding_weight_tying": str(tied).lower()}
    if num_layers is not None:
        changes["num_layers"] = str(num_layers)
    return load_spec(folder() / f"{name}.yaml", [f"model.{key}={value}" for key, value in changes.items()])


def ratio(spec: Spec) -> float:
    """Start the network on the CPU and measure its loss on tokens that follow no rule, over ln(vocabulary)."""
    vocab = spec.model.tokenizer.vocab_size
    seq = min(spec.model.context_window, TOKENS)
    ids = torch.randint(vocab, (TOKENS // seq, seq + 1), generator=torch.Generator().manual_seed(0))
    model = compile(spec, "cpu").model.eval()
    with torch.no_grad():
        loss = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
    return loss.item() / math.log(vocab)


def depths(name: str, wanted: Sequence[int]) -> list[tuple[int | None, str]]:
    """Say how many layers to measure, None for all of them, and how a row calls that."""
    spec = load_spec(folder() / f"{name}.yaml")
    whole = spec.model.core_model.num_layers
    if wanted:
        return [(depth, f"{name}, {depth} of {whole} layers") for depth in wanted if depth < whole]
    sizes = [4 * compile(chosen(name, "none", False, depth)).report.parameters.total for depth in (1, 2)]
    fitting = int((ROOM - sizes[0]) // (sizes[1] - sizes[0])) + 1
    return [(None, name)] if fitting >= whole else [(fitting, f"{name}, {fitting} of {whole} layers")]


def main() -> None:
    """Print the table, row by row as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("specs", nargs="*", default=names())
    parser.add_argument("--num-layers", type=int, nargs="+", default=[])
    arguments = parser.parse_args()
    schemes = initializations()
    print(f"| spec, tied / untied | {' | '.join(f'`{scheme}`' for scheme in schemes)} |")
    print(f"|---|{'---|' * len(schemes)}", flush=True)
    for name in arguments.specs:
        for depth, title in depths(name, arguments.num_layers):
            cells = []
            for scheme in schemes:
                found = []
                for tied in (True, False):
                    found.append(ratio(chosen(name, scheme, tied, depth)))
                    gc.collect()
                cells.append(" / ".join(f"{value:.3f}" for value in found))
            print(f"| `{title.split(',')[0]}`{title[len(name) :]} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
