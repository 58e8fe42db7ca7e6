"""The declarations by which data reach the trainer."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from stlm.components.dataloader.standard import StandardLoader
from stlm.components.datasampling.standard import StandardSampling
from stlm.data.serving.tokens import Shard, TokenStream


def test_loader_and_sampling_serve_every_window_once_an_epoch(tmp_path: Path) -> None:
    np.arange(97, dtype="<u2").tofile(tmp_path / "t.bin")
    tokens = TokenStream((Shard(tmp_path / "t.bin", 97),), "uint16", eot_id=0)
    trainer = SimpleNamespace(batch_size=3, gradient_accumulation_steps=2)
    sampling = StandardSampling().build(trainer, tokens.num_windows(8), 42)
    loader = StandardLoader().build(trainer, tokens, sampling, 8)
    seen = [t for step in range(2) for micro in range(2) for t in loader.batch(step, micro).targets.flatten().tolist()]
    assert sorted(seen) == list(range(1, 97))
    assert seen != sorted(seen)
