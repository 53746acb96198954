"""`torch.compile` beside capture: a captured step without it, and the modules that run inside compiled code."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import FunctionType
from typing import Any, TypeVar

import torch
from torch import nn

_log = logging.getLogger("lightning_callbacks")

F = TypeVar("F", bound=Callable[..., Any])


def eager() -> AbstractContextManager[object]:
    """The code inside runs as it is written, whatever was compiled; then the user's own stance holds again.

    Hooks inside compiled code would be traced into it or left out, and a dispatch mode forbids compiling a frame for
    good; under this stance hooks fire, and the compiled code and its guards stay as they are.
    """
    set_stance = getattr(torch.compiler, "set_stance", None)  # since PyTorch 2.6
    if set_stance is None or "torch._dynamo" not in sys.modules:  # not imported, it has compiled nothing
        return nullcontext()
    return set_stance("force_eager")  # type: ignore[no-any-return]


def untouched(hook: F) -> F:
    """A hook that is not compiled although compiled code calls it: a compiled optimizer's step does."""
    if "torch._dynamo" not in sys.modules:
        return hook
    return torch.compiler.disable(hook)  # type: ignore[no-any-return]


def inside(root: nn.Module) -> frozenset[nn.Module]:
    """The modules of ``root`` that run inside compiled code, where nothing may be hooked.

    Compiled are what `torch.compile` returned, a module after its `compile()`, and a module one of whose own functions
    was replaced by a compiled one (``self.training_step = torch.compile(self.training_step)``, as Lightning does it);
    their submodules are inside too. Where none is, compiled code elsewhere must be calling ``root``, and all are.
    """
    found: set[nn.Module] = set()
    for module in root.modules():
        if module not in found and any(_compiled(value) for value in vars(module).values()):
            found.update(module.modules())
    if not found:
        _log.warning(
            "DGM: compiled='skip', and nothing inside %s is compiled: only weights, their gradients and updates are "
            "recorded; hand over what torch.compile returned, or leave compiled='skip' out",
            type(root).__name__,
        )
    return frozenset(found or root.modules())


def _compiled(value: object) -> bool:
    # torch.compiler.disable marks what it wraps in the same way, and as disabled.
    function = getattr(value, "__func__", value)
    return (
        isinstance(function, FunctionType)
        and hasattr(function, "_torchdynamo_orig_callable")
        and not getattr(function, "_torchdynamo_disable", False)
    )
