"""Tokens a second of greedy generation, beside transformers' `generate` on the same weights in the same process.

    python tests/benchmarks/decoding.py [--tokens 256] [--rounds 5]

Models of Llama's form, batch 1, float32, on the CPU. Each is made by transformers at random, saved, and imported by
stlm; the two take turns, and the medians are compared. What they generate must be the same tokens.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from stlm.experiments.convert import import_folder
from stlm.experiments.run import load_run
from stlm.generation.generate import generate_tokens
from stlm.registry import make_component

MODELS = {
    "10M (6 × 384)": {"hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 6, "num_attention_heads": 6},
    "10M (11 × 256, grouped)": {
        "hidden_size": 256, "intermediate_size": 672, "num_hidden_layers": 11, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": 8192,
    },
    "124M (12 × 768)": {
        "hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 12,
        "vocab_size": 50257,
    },
}  # fmt: skip
WINDOW = 512
PROMPT = list(range(1, 17))


def theirs_and_ours(shape: dict[str, int], folder: Path) -> tuple[LlamaForCausalLM, torch.nn.Module]:
    """Make a model at random, and import it."""
    torch.manual_seed(0)
    config = LlamaConfig(max_position_embeddings=WINDOW, tie_word_embeddings=True, **{"vocab_size": 256, **shape})
    theirs = LlamaForCausalLM(config).eval()
    theirs.save_pretrained(folder / "theirs")
    import_folder(folder / "theirs", folder / "ours")
    return theirs, load_run(folder / "ours", device="cpu").model


def with_stlm(model: torch.nn.Module, tokens: int) -> list[int]:
    """Generate with stlm."""
    sampler = make_component("sampler", "standard", {"temperature": 0.0}).build()
    how = {"device": torch.device("cpu"), "sampler": sampler, "context_window": WINDOW, "eot_id": -1, "seed": 0}
    return list(generate_tokens(model, PROMPT, max_new_tokens=tokens, **how))


def with_transformers(model: LlamaForCausalLM, tokens: int) -> list[int]:
    """Generate with transformers."""
    prompt = torch.tensor([PROMPT])
    how = {"do_sample": False, "use_cache": True, "eos_token_id": None, "pad_token_id": 0}
    made = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=tokens, **how)
    return made[0, len(PROMPT) :].tolist()


def tokens_per_second(generate: Callable[[], list[int]]) -> tuple[float, list[int]]:
    """Time one text."""
    start = time.perf_counter()
    tokens = generate()
    return len(tokens) / (time.perf_counter() - start), tokens


def main() -> None:
    """Print, for each model, both figures and their ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    for name, shape in MODELS.items():
        with tempfile.TemporaryDirectory() as folder:
            theirs, ours = theirs_and_ours(shape, Path(folder))
        with_stlm(ours, 8), with_transformers(theirs, 8)
        rates: dict[str, list[float]] = {"stlm": [], "transformers": []}
        for _ in range(arguments.rounds):
            rate, made = tokens_per_second(lambda: with_stlm(ours, arguments.tokens))  # noqa: B023 - called at once
            rates["stlm"].append(rate)
            rate, expected = tokens_per_second(lambda: with_transformers(theirs, arguments.tokens))  # noqa: B023
            rates["transformers"].append(rate)
            assert made == expected, "the two generate different tokens"
        medians = {who: statistics.median(values) for who, values in rates.items()}
        spread = ", ".join(f"{who} {medians[who]:.1f} ({min(v):.1f}–{max(v):.1f})" for who, v in rates.items())
        pairs = sorted(a / b for a, b in zip(rates["stlm"], rates["transformers"], strict=True))
        ratio = statistics.median(pairs)
        print(f"{name}: tokens/s {spread}; ratio {ratio:.2f} ({pairs[0]:.2f}–{pairs[-1]:.2f})", flush=True)


if __name__ == "__main__":
    main()
