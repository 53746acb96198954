"""What the plugin keeps between requests, made ready in the background."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # heavy
    from dgm_tb.queries.runs import Heartbeat
    from dgm_tb.replay.client import Client
    from dgm_tb.store.catalog import Catalog

logger = logging.getLogger(__name__)


class Desk:
    """The catalogue with its scanning thread, and the heartbeat; ``logdir`` is what the user called it.

    They are opened on a thread of their own: numba's import takes a quarter of a second that neither TensorBoard's
    start nor its first page should wait for.
    """

    def __init__(self, logdir: str, roots: Mapping[str, Path]) -> None:
        self._logdir, self._roots = logdir, roots
        self._lock = threading.Lock()
        self._opened: tuple[Catalog, Heartbeat] | None = None
        self._worker: Client | None = None
        self._warmed = False

    def open_soon(self) -> None:
        threading.Thread(target=self._open_or_log, name="dgm-catalog", daemon=True).start()

    def warm_soon(self) -> None:
        """Once the tab is open with a run in it: the layer panel's kernels, while the user still looks at the loss."""
        if not self._warmed:
            self._warmed = True
            threading.Thread(target=_warm, name="dgm-warm", daemon=True).start()

    @property
    def active(self) -> bool:
        return self._opened is not None and self._opened[0].active

    @property
    def catalog(self) -> Catalog:
        return self._open()[0]

    @property
    def heartbeat(self) -> Heartbeat:
        return self._open()[1]

    @property
    def worker(self) -> Client:
        """Asks the process that runs tapes; it is started by the first question to it, and ends with this one."""
        with self._lock:
            if self._worker is None:
                from dgm_tb.replay.client import Client

                self._worker = Client()
            return self._worker

    def _open(self) -> tuple[Catalog, Heartbeat]:
        with self._lock:
            if self._opened is None:
                from dgm_tb.queries.runs import Heartbeat
                from dgm_tb.store.catalog import Catalog

                catalog = Catalog(self._roots)
                catalog.start()
                self._opened = catalog, Heartbeat(catalog, self._logdir, time.time)
            return self._opened

    def _open_or_log(self) -> None:
        try:
            self._open()
        except Exception:  # on a thread of its own: nobody else would hear of it, and TensorBoard goes on
            logger.exception("DGM cannot look for runs; its tab stays inactive")


def _warm() -> None:
    try:
        from dgm_tb.queries.warmth import compile_kernels

        compile_kernels()
    except Exception:  # only a preparation
        logger.exception("DGM cannot prepare the layer panel; the first question about a layer will say why")
