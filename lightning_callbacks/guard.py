"""What keeps a failure of the recording away from the training."""

from __future__ import annotations

import logging
from types import TracebackType

_log = logging.getLogger("lightning_callbacks")


class Guard:
    """A context manager that any number of times swallows an exception inside it; the first is said and kept.

    ``failure`` is that exception: the recording stops where it is set. `KeyboardInterrupt` and its like pass.
    """

    def __init__(self) -> None:
        self.failure: Exception | None = None

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, Exception):
            self.failed(error)
            return True
        return False

    def failed(self, error: Exception) -> None:
        """Tells of an exception that was caught elsewhere: inside a hook, or on the writer's thread."""
        if self.failure is None:
            self.failure = error
            remedy = " (free some space, or record elsewhere with log_dir=)" if isinstance(error, OSError) else ""
            _log.warning(
                "DGM: the recording stopped, the training goes on: %s: %s%s", type(error).__name__, error, remedy
            )
            _log.debug("where the recording stopped", exc_info=error)
