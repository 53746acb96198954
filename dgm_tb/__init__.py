"""DGM for TensorBoard: the recorded dynamics of a training run; ``open_run(path)`` reads one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dgm_tb.run import open_run

__all__ = ["open_run"]


def __getattr__(name: str) -> Any:
    # Lazily, since TensorBoard imports this package at every start, with or without a run of ours.
    if name == "open_run":
        from dgm_tb.run import open_run

        return open_run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
