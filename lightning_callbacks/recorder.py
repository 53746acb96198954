"""`Recorder`: recording a bare PyTorch loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_callbacks import options
from lightning_callbacks.losses import Number
from lightning_callbacks.options import ALL, Group
from lightning_callbacks.patterns import ByName, Named
from lightning_callbacks.processes import this_process
from lightning_callbacks.recording import Recording


class Recorder:
    """Records the training of ``module`` into the run directory ``directory``; a context manager.

    In a bare PyTorch loop::

        with Recorder(model, "runs/first") as recorder:
            for batch in loader:
                with recorder.step(batch):
                    loss = ...
                    recorder.log(loss=loss)
                    loss.backward()
                    optimizer.step()

    The arguments are those of `DynamicsMonitor`; ``last_step`` says which step will be the last, so that it is captured
    too. Raises `UsageError` where an argument cannot be used. Whatever goes wrong later – an unwritable directory, a
    full disk, an error inside a hook – ends the recording with one logged warning and leaves the training alone;
    `failure` says what it was.
    """

    def __init__(
        self,
        module: nn.Module,
        directory: str | Path,
        *,
        every_n_steps: int = 50,
        quantities: Collection[str] = ALL,
        statistics: Collection[str] = ALL,
        include: Named | Sequence[Named] | None = None,
        exclude: Named | Sequence[Named] | None = None,
        calls: ByName[int] | None = None,
        unit_axis: ByName[int] | None = None,
        roles: Mapping[str, str] | None = None,
        groups: ByName[Group] | None = None,
        max_disk: str | int | None = "2GiB",
        compiled: str = "eager",
        dtype: str | None = None,
        deep_every_n_steps: int | str = "auto",
        max_deep_bytes: str | int = "256MiB",
        last_step: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        parsed = options.parse(
            every_n_steps,
            quantities=quantities,
            statistics=statistics,
            include=include,
            exclude=exclude,
            calls=calls,
            unit_axis=unit_axis,
            roles=roles,
            groups=groups,
            max_disk=max_disk,
            compiled=compiled,
            dtype=dtype,
            deep_every_n_steps=deep_every_n_steps,
            max_deep_bytes=max_deep_bytes,
        )
        process = this_process(Path(directory), clock)
        self._recording = Recording(
            module,
            Path(directory),
            parsed,
            clock=clock,
            session=process.session,
            rank=process.rank,
            ranks=process.ranks,
            last_step=last_step,
        )

    @property
    def failure(self) -> Exception | None:
        """What ended the recording before the training ended."""
        return self._recording.failure

    @property
    def recording(self) -> bool:
        """Whether what happens is still recorded."""
        return self._recording.recording

    @property
    def step_index(self) -> int:
        """The step that runs or comes next; a training that goes on from a checkpoint sets it."""
        return self._recording.step_index

    @step_index.setter
    def step_index(self, step: int) -> None:
        self._recording.step_index = step

    @contextmanager
    def step(self, batch: Any = None, *, stepped: bool = True) -> Iterator[Recorder]:
        """Encloses one batch: forward, backward and the optimizer's step. ``stepped=False``: gradients accumulate, the
        batch belongs to the same step as the next."""
        self._recording.begin_batch(batch)
        try:
            yield self
        except BaseException:
            self._recording.abandon_batch()
            raise
        self._recording.end_batch(stepped)

    def log(self, **values: Number) -> None:
        """Logs numbers of this step, averaged over its micro-batches. ``loss``, told before its ``backward``, is also
        where the graph ends, and what is watched: while it is not finite or spikes every step is captured."""
        if isinstance(loss := values.get("loss"), Tensor):
            self._recording.before_backward(loss)
        self._recording.log(values)

    def before_clipping(self, optimizer: Optimizer) -> None:
        """Reads the gradients of ``optimizer`` now: where a loop clips them, before it does. Otherwise they are read as
        they are when it steps (under a gradient scaler: when that unscales them)."""
        self._recording.before_optimizer_step(optimizer)

    def close(self, reason: str = "finished") -> None:
        """Ends the recording; further calls do nothing."""
        self._recording.close(reason)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close("finished" if kind is None else "exception")
