"""A spec and a seed mean the same weights on one process and on several that share them out.

Run as a script, this file is one of the processes.
"""

import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stlm.compiler import compile
from stlm.compiler.assemble import assemble, start
from stlm.nn import initialize, materialize, schemes
from stlm.registry import parse_spec
from stlm.registry.manager import Registry
from tests.benchmarks.loss_memory import LiveBytes

# Nothing here divides by two: vocabulary, width, feed-forward width, positions.
SPEC = """\
model:
  model_shell_type: standard
  core_model_type: generic
  embedding_model_type: generic
  lm_head_type: generic
  lm_head_bias: true
  positional_encoding_type: learned
  tokenizer_type: bpe
  vocab_size: 301
  tokenizer_dataset_name: python_docs
  hidden_dim: 27
  context_window: 17
  num_layers: 2
  attn: {attn_type: causal, num_kv_heads: 1, num_q_heads: 3, bias: true, normalization: layer_norm}
  ffn: {ffn_type: generic, ffn_dim: 41, bias: true}
"""
SCHEMES = [entry.name for entry in Registry().entries() if entry.kind == "initialization"]
CASES = [(scheme, *ties) for scheme, ties in product(SCHEMES, ((True, False), (False, False), (True, True)))]
"""Scheme, whether embedding and head are tied, whether the blocks share what they can."""
PROCESSES = 2
MESHES = ("two", "one", "replicated")
"""Shared out over two processes; whole but sharded in form, on each; the same, known to be the same on both."""


def runs() -> list[tuple[tuple[str, bool, bool], str]]:
    """Every case on two processes, and the first of each scheme on the other meshes."""
    return [(case, mesh) for case, mesh in product(CASES, MESHES) if mesh == "two" or case[1:] == (True, False)]


def spec_of(scheme: str, tied: bool, shared: bool):
    changes = {"initialization_fn": scheme, "embedding_weight_tying": tied}
    changes |= {"ffn_weight_tying": shared, "c_proj_weight_tying": shared}
    return parse_spec(SPEC, [f"model.{key}={value}" for key, value in changes.items()])


def loss_of(model: nn.Module) -> Tensor:
    ids = torch.randint(301, (2, 17), generator=torch.Generator().manual_seed(0))
    return F.cross_entropy(model(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


def odd_layers() -> nn.Module:
    """One row for two processes, and a matrix that is shared out by columns."""
    with torch.device("meta"):
        return nn.Sequential(nn.Linear(3, 1), nn.Linear(6, 3, bias=False))


class HalfFilled(nn.Linear):
    """A layer that is given its weight by someone else, before the start, and fills its bias alone."""

    def reset_parameters(self) -> None:
        nn.init.ones_(self.bias)


def bias_from_weight(module: nn.Module) -> None:
    """Read a weight, and write a bias."""
    module.bias.add_(module.weight.sum())


class SelfStarted(nn.Module):
    """Two layers of one weight that are started by the module that holds them."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(5, 5), nn.Linear(5, 5)
        self.other.weight = self.one.weight

    def initialize(self, scheme) -> None:
        assert self.other.weight is self.one.weight
        self.one.reset_parameters()
        scheme(self.one)
        nn.init.constant_(self.other.bias, self.other.weight.sum().item())


def largest_copy(mesh) -> int:
    """Bytes that are alive at once while eight matrices of 500 × 64 are started."""
    from torch.distributed.fsdp import fully_shard

    with torch.device("meta"):
        layers = nn.Sequential(*(nn.Linear(64, 500, bias=False) for _ in range(8)))
    materialize(fully_shard(layers, mesh=mesh), "cpu")
    with LiveBytes() as live:
        initialize(layers, schemes.Normal(0.02, 0.02), 0)
    return live.peak


def gathered(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().full_tensor() for name, tensor in model.named_parameters(remove_duplicate=False)}


def process(rank: int, folder: Path) -> None:
    """Start every case on meshes of two processes and of one, and write down what came of it, put together again."""
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import DTensor, Partial, Shard

    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=PROCESSES)
    alone = init_device_mesh("cpu", (PROCESSES, 1), mesh_dim_names=("apart", "alone"))
    meshes = dict(zip(MESHES, (init_device_mesh("cpu", (PROCESSES,)), alone["alone"], alone), strict=True))
    found: dict[str, object] = {}
    for case, name in runs():
        spec = spec_of(*case)
        network = assemble(spec)
        if not case[-1]:  # what blocks share must lie in one group
            for block in network.core.blocks:
                fully_shard(block, mesh=meshes[name])
        model = start(fully_shard(network, mesh=meshes[name]), spec, torch.device("cpu"))
        tied = model.head.weight is model.embedder.token_embedding.weight
        weights = gathered(model)  # before the forward pass, which puts them together by itself
        found[f"{case} {name}"] = weights, loss_of(model).item(), tied
    layers = fully_shard(
        odd_layers(), mesh=meshes["two"], shard_placement_fn=lambda p: Shard(1) if len(p) == 3 else None
    )
    found["odd"] = gathered(initialize(materialize(layers, "cpu"), schemes.Xavier(1.0), 0))
    assert layers[0].weight.to_local().shape[0] == 1 - rank
    assert layers[1].weight.to_local().shape == (3, 3)
    half = materialize(fully_shard(HalfFilled(4, 3, device="meta"), mesh=meshes["two"]), "cpu")
    torch.nn.init.constant_(half.weight.to_local(), 7.0)
    found["half"] = gathered(initialize(half, bias_from_weight, 0))
    with torch.device("meta"):
        inside = nn.Sequential(SelfStarted())
    inside = materialize(fully_shard(inside, mesh=meshes["two"]), "cpu")
    found["inside"] = gathered(initialize(inside, schemes.Xavier(1.0), 0))
    assert inside[0].other.weight is inside[0].one.weight
    assert 1 <= largest_copy(meshes["two"]) / (4 * 500 * 64) < 1.5
    partial = nn.Linear(3, 3, bias=False)
    partial.weight = nn.Parameter(DTensor.from_local(torch.ones(3, 3), meshes["two"], [Partial()]))
    with pytest.raises(ValueError, match=r"a tensor placed as P\S+ cannot be started"):
        initialize(partial, schemes.keep, 0)
    if rank == 0:
        torch.save(found, folder / "found.pt")
    dist.destroy_process_group()


def on_several_processes(folder: Path) -> dict[str, object]:
    path = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    started = [
        subprocess.Popen([sys.executable, __file__, str(rank), str(folder)], env=environment, stderr=subprocess.PIPE)
        for rank in range(PROCESSES)
    ]
    try:
        for one in started:
            _, errors = one.communicate(timeout=120)
            assert one.returncode == 0, errors.decode()
    finally:
        for one in started:
            one.kill()
    return torch.load(folder / "found.pt")


def test_sharded_processes_start_with_the_weights_of_one(tmp_path):
    """Bit for bit; and they compute the same from them."""
    found = on_several_processes(tmp_path)
    for case, mesh in runs():
        alone = compile(spec_of(*case), "cpu").model
        expected = dict(alone.named_parameters(remove_duplicate=False))
        weights, loss, tied = found[f"{case} {mesh}"]
        assert weights.keys() == expected.keys()
        assert not [name for name in expected if not torch.equal(weights[name], expected[name])], (case, mesh)
        assert tied == case[1]
        assert loss == pytest.approx(loss_of(alone).item(), abs=1e-5)
    layers = initialize(materialize(odd_layers(), "cpu"), schemes.Xavier(1.0), 0)
    assert all(torch.equal(found["odd"][name], tensor) for name, tensor in layers.named_parameters())
    inside = initialize(nn.Sequential(SelfStarted()), schemes.Xavier(1.0), 0)
    expected = dict(inside.named_parameters(remove_duplicate=False))
    assert found["inside"].keys() == expected.keys()
    assert all(torch.equal(found["inside"][name], tensor) for name, tensor in expected.items())
    # of what a process reads, its own part of a weight is there, and what it does not write stays
    assert (found["half"]["weight"] == 7.0).all()
    assert found["half"]["bias"].isfinite().all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_gpu_starts_with_the_weights_of_the_cpu(scheme):
    spec = spec_of(scheme, True, False)
    expected = compile(spec, "cpu").model.state_dict()
    there = compile(spec, "cuda").model.state_dict()
    assert all(torch.equal(tensor.cpu(), expected[name]) for name, tensor in there.items())


if __name__ == "__main__":
    process(int(sys.argv[1]), Path(sys.argv[2]))
