"""Recording the dynamics of a training: `DynamicsMonitor` for Lightning, `Recorder` for a bare PyTorch loop."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from lightning_callbacks.callback import DynamicsMonitor
    from lightning_callbacks.options import Group
    from lightning_callbacks.recorder import Recorder

__all__ = ["DynamicsMonitor", "Group", "Recorder"]

# Loaded when asked for: Lightning takes seconds to import, and a bare loop does not need it.
_HOMES: Final = {
    "DynamicsMonitor": "lightning_callbacks.callback",
    "Group": "lightning_callbacks.options",
    "Recorder": "lightning_callbacks.recorder",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ImportError(
            f"{name} records a PyTorch training, and torch is missing: pip install 'dgm-tb[train]'"
        ) from error
