"""The recorded modules of a network: their paths, weights and what is known of each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from torch import nn

from dgm_tb.errors import UsageError
from lightning_callbacks import units
from lightning_callbacks.options import Options
from lightning_callbacks.units import Weight

#: Path components that wrappers insert: torch.compile, FSDP, activation checkpointing.
_WRAPPERS: Final = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)(?:\.|$)")


def clean(path: str) -> str:
    """A module path without what wrappers inserted."""
    return _WRAPPERS.sub("", path).rstrip(".")


@dataclass(frozen=True, slots=True)
class Model:
    """A network as it is recorded; ``modules`` are the nodes, ``named`` are all (path -> module).

    ``axes``: path of a node -> the axis of its output that counts units, None where it is that of what feeds it.
    """

    root: nn.Module
    modules: Mapping[str, nn.Module]
    named: Mapping[str, nn.Module]
    paths: Mapping[nn.Module, str]
    axes: Mapping[str, int | None]
    weights: tuple[Weight, ...]
    options: Options

    def parameters(self, path: str) -> int:
        """How many numbers a module trains by itself; the children's too where it is a leaf."""
        module = self.named[path]
        return sum(p.numel() for p in module.parameters(recurse=units.leaf(module)))

    def group(self, path: str) -> str:
        """The nearest enclosing module that is no node itself."""
        group = path.rpartition(".")[0]
        while group in self.modules:
            group = group.rpartition(".")[0]
        return group


def survey(root: nn.Module, options: Options) -> Model:
    """The recorded part of ``root``. Raises `UsageError` where a pattern finds nothing or nothing is left."""
    bare = root
    while isinstance(bare, nn.DataParallel | nn.parallel.DistributedDataParallel):
        bare = bare.module
    named = {
        clean(path) or type(bare).__name__: module
        for path, module in bare.named_modules()
        if "parametrizations" not in path.split(".")
    }
    for argument in ("include", "exclude"):
        for pattern in getattr(options, argument):
            _found(argument, pattern, named)
    for pattern, _ in options.unit_axis:
        _found("unit_axis", pattern, named)
    chosen = {path: module for path, module in named.items() if not any(p.search(path) for p in options.exclude)}
    modules = {
        path: module
        for path, module in chosen.items()
        if (units.leaf(module) and not isinstance(module, nn.ModuleList | nn.ModuleDict))
        or any(p.search(path) for p in options.include)
    }
    if not modules:
        patterns = [pattern.pattern for pattern in options.exclude]
        raise UsageError(f"exclude={patterns} leaves no module of {type(bare).__name__} to record: narrow it")
    paths = {module: path for path, module in named.items()}
    if type(bare).__name__ not in modules:
        paths[bare] = ""  # what runs in the outermost module's own code lies in no group
    axes = {path: _axis(path, module, options) for path, module in modules.items()}
    return Model(bare, modules, named, paths, axes, units.weights(chosen), options)


def _axis(path: str, module: nn.Module, options: Options) -> int | None:
    given = (axis for pattern, axis in options.unit_axis if pattern.search(path))
    return next(given, units.output_axis(module))


def _found(argument: str, pattern: re.Pattern[str], named: Mapping[str, nn.Module]) -> None:
    if not any(pattern.search(path) for path in named):
        some = ", ".join(list(named)[1:6])
        raise UsageError(f"{argument}={pattern.pattern!r} matches no module path; paths look like: {some}")
