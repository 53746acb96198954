"""Modules that only wrap a model, and its paths without them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

_PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def unwrapped(root: nn.Module) -> nn.Module:
    """The model inside `torch.compile`, ``DataParallel`` and ``DistributedDataParallel``, in whatever order."""
    while True:
        inner = root.module if isinstance(root, _PARALLEL) else root._modules.get("_orig_mod")
        if inner is None:
            return root
        root = inner


def named_modules(root: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """`nn.Module.named_modules` without the ``module.`` of parallel wrappers inside the model.

    Several networks of one model are wrapped each by itself (``generator.module.0``). What a wrapper holds comes after
    it, under the same path. Scripted modules (`torch.jit.script`) are left out: they take no hooks, and of what kind
    they are can no longer be seen.
    """
    held: list[str] = []
    for path, module in root.named_modules():
        short = path
        for prefix in reversed(held):  # the innermost first: its own path is still the long one
            if path == prefix or path.startswith(prefix + "."):
                short = prefix[: -len(".module")] + short[len(prefix) :]
        if isinstance(module, _PARALLEL):
            held.append(f"{path}.module")
        if not isinstance(module, torch.jit.ScriptModule):
            yield short, module
