"""One network on several processes: replicated on each (DDP), or shared out among them (FSDP2)."""

import inspect

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.nn.parallel import DistributedDataParallel


def shard(network: nn.Module, device: torch.device, count: int) -> None:
    """Share out the parameters of a network, on the meta device or not, among ``count`` processes, in place.

    Each block of the network is gathered when it computes and released afterwards (`fully_shard`; Zhao et al., 2023;
    arXiv:2304.11277); what is outside of blocks stays gathered from the forward to the backward pass, for the loss
    works on the head's weights. Blocks that share parameters are gathered together with the rest.
    """
    mesh = init_device_mesh(device.type, (count,))
    for block in blocks(network):
        fully_shard(block, mesh=mesh)
    fully_shard(network, mesh=mesh)
    register_fsdp_forward_method(network, "token_states")


def replicate(objective: nn.Module) -> nn.Module:
    """Wrap a module whose parameters are the same on every process, so that their gradients are averaged."""
    known = inspect.signature(DistributedDataParallel.__init__).parameters
    unsynced = {"forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers": False}
    return DistributedDataParallel(objective, gradient_as_bucket_view=True, **unsynced)


def blocks(network: nn.Module) -> list[nn.Module]:
    """Return the modules that repeat: the members of the outermost lists of modules, if none shares a parameter."""
    found: list[nn.Module] = []

    def look(module: nn.Module) -> None:
        for child in module.children():
            if isinstance(child, nn.ModuleList):
                found.extend(child)
            else:
                look(child)

    look(network)
    owners: dict[int, set[int]] = {}
    in_blocks = {id(module): number for number, block in enumerate(found) for module in block.modules()}
    for module in network.modules():
        for parameter in module.parameters(recurse=False):
            owners.setdefault(id(parameter), set()).add(in_blocks.get(id(module), -1))
    shared = {number for owner in owners.values() if len(owner) > 1 for number in owner}
    return [block for number, block in enumerate(found) if number not in shared]
