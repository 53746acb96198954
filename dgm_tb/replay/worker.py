"""Runs tapes: requests come, answers go; the newest request wins."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file

from dgm_tb.errors import DgmError, FormatError
from dgm_tb.replay import ask, deep
from dgm_tb.replay.ask import Answer, Asked, CreditAsked, OriginAsked, ReplayAsked
from dgm_tb.replay.counterfactual import replay
from dgm_tb.replay.credit import Step, after_credit, change_credit, value_credit
from dgm_tb.replay.integral import Progress, within
from dgm_tb.replay.origin import origin
from dgm_tb.replay.parts import packed

#: Deep snapshots that stay loaded: the two of a change, and the two of the one before.
_STEPS: Final = 4
#: Seconds for which a path that has not converged may have more nodes than are always allowed.
_PATIENCE: Final = 4.0
#: Seconds after which a path gets no more nodes: of a large network an answer with a gap is better than none.
_LONGEST: Final = 45.0

Arrays = Mapping[str, NDArray[np.generic]]


class Superseded(Exception):
    """A newer request has come."""


class Worker:
    """Answers one request after the other; a thread reads what comes meanwhile."""

    def __init__(self, requests: IO[bytes], answers: IO[bytes], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._requests, self._answers = requests, answers
        self._steps: OrderedDict[tuple[str, tuple[int, int]], Step] = OrderedDict()
        self._changed = threading.Condition()
        self._newest: tuple[int, Asked] | None = None
        self._ended = False

    def run(self) -> None:
        """Until stdin ends."""
        threading.Thread(target=self._read, daemon=True).start()
        while (request := self._next()) is not None:
            number, asked = request
            self._answer(self._made(number, asked))

    def _read(self) -> None:
        for line in self._requests:
            with self._changed:
                self._newest = ask.read_asked(line)
                self._changed.notify()
        with self._changed:
            self._ended = True
            self._changed.notify()

    def _next(self) -> tuple[int, Asked] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._ended)
            request, self._newest = self._newest, None
            return request

    def _made(self, number: int, asked: Asked) -> Answer:
        begun = self._clock()

        def progress(nodes: int) -> bool:
            if self._newest is not None or self._ended:
                raise Superseded
            self._answer(Answer(number, "progress", {"nodes": nodes}, {}))
            spent = self._clock() - begun
            return spent < _PATIENCE or (within(nodes) and spent < _LONGEST)

        try:
            fields, arrays = self._handle(asked, progress)
            return Answer(number, "done", fields, arrays)
        except Superseded:
            return Answer(number, "failed", {"message": "a newer request has taken its place"}, {})
        except DgmError as error:
            return Answer(number, "failed", {"message": str(error)}, {})
        except MemoryError:
            return Answer(number, "failed", {"message": _TOO_LARGE}, {})
        except Exception as error:  # the worker outlives any tape
            large = "allocate memory" in str(error)
            text = _TOO_LARGE if large else f"{type(error).__name__}: {str(error).splitlines()[0][:300]}"
            return Answer(number, "failed", {"message": text}, {})

    def _answer(self, answer: Answer) -> None:
        ask.write_answer(self._answers, answer)

    def _handle(self, asked: Asked, progress: Progress) -> tuple[Mapping[str, Any], Arrays]:
        if isinstance(asked, CreditAsked):
            return self._credit(asked, progress)
        later = self._step(asked.later)
        if isinstance(asked, ReplayAsked):
            earlier = self._step(asked.earlier) if asked.earlier is not None else None
            return {}, {
                name: np.array(value)
                for name, value in asdict(replay(asked.target, asked.changes, later, earlier)).items()
            }
        assert isinstance(asked, OriginAsked)
        found = origin(later, asked.program)
        return {"origin": None if found is None else _finite(asdict(found))}, {}

    def _credit(self, asked: CreditAsked, progress: Progress) -> tuple[Mapping[str, Any], Arrays]:
        later = self._step(asked.later)
        if asked.method == "after":
            return {"groups": ["units"]}, {
                f"units/{node}": part for node, part in after_credit(asked.target, later).items()
            }
        if asked.method == "value":
            return packed(value_credit(asked.target, later, progress=progress))
        if asked.earlier is None:
            raise FormatError("a change needs an earlier deep snapshot")
        return packed(
            change_credit(asked.target, self._step(asked.earlier), later, batch=asked.batch, progress=progress)
        )

    def _step(self, path: str) -> Step:
        found = [one for one in deep.listing(Path(path).parent.parent) if str(one.path) == path]
        if not found:
            raise FormatError(f"the deep snapshot {Path(path).name} is gone: choose another one")
        key = path, found[0].identity
        if key not in self._steps:
            tape = deep.read_tape(found[0])
            deep.check_tensors(found[0])
            self._steps[key] = Step(tape, load_file(found[0].path / deep.TENSORS))
        self._steps.move_to_end(key)
        while len(self._steps) > _STEPS:
            self._steps.popitem(last=False)
        return self._steps[key]


_TOO_LARGE: Final = (
    "this step needs more memory than the worker may use: record a smaller batch or model, or raise DGM_REPLAY_MEMORY"
)


def _finite(value: Any) -> Any:
    """For JSON: numbers that are not finite as None."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
