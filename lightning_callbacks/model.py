"""The recorded modules of a network: their paths, weights and what is known of each."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from torch import nn

from dgm_tb.errors import UsageError
from lightning_callbacks import compiled, patterns, sharded, units, wrappers
from lightning_callbacks.options import Options, Share
from lightning_callbacks.patterns import Pattern
from lightning_callbacks.sharded import Parts
from lightning_callbacks.units import Weight

T = TypeVar("T")

#: Path components that wrappers insert: torch.compile, FSDP, activation checkpointing.
_WRAPPERS: Final = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)(?:\.|$)")


def clean(path: str) -> str:
    """A module path without what wrappers inserted."""
    return _WRAPPERS.sub("", path).rstrip(".")


#: The quantities that are read around the optimizer's step.
WEIGHTS: Final = frozenset({"weight", "weight_gradient", "update"})

#: What stands behind a module's path in a node's name: the call (``#2``), then the output (``[logits]``).
_CALL: Final = re.compile(r"(#\d+)?(?:\[.*)?$")


@dataclass(frozen=True, slots=True)
class Model:
    """A network as it is recorded; ``modules`` are the nodes, ``named`` are all (path -> module).

    ``axes``: path of a node -> the axis of its output that counts units, None where it is that of what feeds it.
    ``shares``: path of everything that is recorded, nodes and owners of weights -> what is recorded of it.
    ``calls``: path -> how many of its calls in a program have rows of their own, where the user says so.
    ``roles``: path, or path and call (``head#1``) -> what the user says it is.
    ``inside``: modules that are left alone, since they run inside compiled code. ``parts``: what this process holds of
    the weights, which may be spread over processes.
    """

    root: nn.Module
    modules: Mapping[str, nn.Module]
    named: Mapping[str, nn.Module]
    paths: Mapping[nn.Module, str]
    axes: Mapping[str, int | None]
    weights: tuple[Weight, ...]
    shares: Mapping[str, Share]
    calls: Mapping[str, int]
    roles: Mapping[str, str]
    inside: frozenset[nn.Module]
    parts: Parts
    options: Options

    def due(self, intervals: Collection[int]) -> dict[str, frozenset[str]]:
        """What is recorded at a step at which these intervals are due: path -> quantities."""
        return {path: share.quantities for path, share in self.shares.items() if share.every_n_steps in intervals}

    @property
    def intervals(self) -> tuple[int, ...]:
        """All distances at which something is recorded, ascending."""
        return tuple(sorted({share.every_n_steps for share in self.shares.values()}))

    def of_weights(self) -> dict[str, frozenset[str]]:
        """What can still be recorded of a step whose forward pass is over: path -> quantities."""
        return {weight.module: self.shares[weight.module].quantities & WEIGHTS for weight in self.weights}

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

    def role(self, name: str, path: str) -> str:
        """What the user says the node ``name`` of the module at ``path`` is: of this call, else of the module."""
        return self.roles.get(path + call_of(name, path), self.roles.get(path, ""))


def call_of(name: str, path: str) -> str:
    """Which call of the module at ``path`` the node ``name`` is: ``#k``, empty for the first."""
    found = _CALL.match(name, len(path))
    return (found[1] or "") if found else ""


def structure(root: nn.Module) -> int:
    """Differs where the modules or parameters of ``root`` are others than before; a lazy module changes its type."""
    parts = ((id(m), type(m), *map(id, m._parameters.values())) for m in root.modules())
    return hash(tuple(parts))


def survey(root: nn.Module, options: Options) -> Model:
    """The recorded part of ``root``. Raises `UsageError` where a pattern finds nothing or nothing is left."""
    bare = wrappers.unwrapped(root)
    inside = compiled.inside(root) if options.compiled == "skip" else frozenset()
    named = {
        clean(path) or type(bare).__name__: module
        for path, module in wrappers.named_modules(bare)
        if "parametrizations" not in path.split(".")
    }
    by_pattern = (*options.calls, *options.unit_axis, *options.groups)
    patterns.found((*options.include, *options.exclude, *(pattern for pattern, _ in by_pattern)), named)
    chosen = {path: module for path, module in named.items() if not any(p.covers(path, named) for p in options.exclude)}
    modules = {
        path: module
        for path, module in chosen.items()
        if (units.leaf(module) and not isinstance(module, nn.ModuleList | nn.ModuleDict))
        or any(p.matches(path, module) for p in options.include)
    }
    if not modules:
        excluded = ", ".join(map(str, options.exclude))
        raise UsageError(f"exclude={excluded} leaves no module of {type(bare).__name__} to record: narrow it")
    paths = {module: path for path, module in named.items()}
    if type(bare).__name__ not in modules:
        paths[bare] = ""  # what runs in the outermost module's own code lies in no group
    flat = sharded.flat(root)
    parts = sharded.parts(units.weights(chosen, besides=flat.ids), flat, chosen)
    modules = {path: module for path, module in modules.items() if module not in inside}
    owners = [weight.module for weight in parts.weights]
    return Model(
        root=bare,
        modules=modules,
        named=named,
        paths=paths,
        axes={p: _first(options.unit_axis, p, module, units.output_axis(module)) for p, module in modules.items()},
        weights=parts.weights,
        shares={path: _share(path, named, options) for path in (*modules, *owners)},
        calls={p: most for p, module in modules.items() if (most := _first(options.calls, p, module, 0))},
        roles=_roles(options, named),
        inside=inside,
        parts=parts,
        options=options,
    )


def _first(choices: Iterable[tuple[Pattern, T]], path: str, module: nn.Module, default: T) -> T:
    """What the first pattern that names a module says."""
    return next((value for pattern, value in choices if pattern.matches(path, module)), default)


def _share(path: str, named: Mapping[str, nn.Module], options: Options) -> Share:
    return next((share for pattern, share in options.groups if pattern.covers(path, named)), options.share)


def _roles(options: Options, named: Mapping[str, nn.Module]) -> dict[str, str]:
    """Path, or path and call, -> role. A whole path names that module alone, else it is a regular expression."""
    found: dict[str, str] = {}
    for text, pattern, role in options.roles:
        exact = text.partition("#")[0] in named
        paths = [text] if exact else [path for path, module in named.items() if pattern.matches(path, module)]
        if not paths:
            raise UsageError(f"roles={text!r} matches no module path; {patterns.nearby(text, named)}")
        found.update((path, role) for path in paths if path not in found)
    return found
