"""Query string → frozen request: everything that a client can get wrong is refused here, by name."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from dgm_tb.errors import UsageError
from dgm_tb.moments import DERIVED
from dgm_tb.records import QUANTITIES
from dgm_tb.replay.ask import BATCHES, CHANGES, METHODS, TARGETS

Request = TypeVar("Request")


class Converter(Protocol):
    """Turns one parameter's text into its value."""

    @property
    def allowed(self) -> str:
        """What may be written, for the message of a refusal."""

    def convert(self, text: str) -> object:
        """The value; a ValueError where ``text`` is none."""


@dataclass(frozen=True, slots=True)
class Text:
    """A name, of a bounded length so that no message or cache key grows without limit."""

    longest: int = 1024

    @property
    def allowed(self) -> str:
        return f"1 to {self.longest} characters"

    def convert(self, text: str) -> str:
        if not 1 <= len(text) <= self.longest:
            raise ValueError
        return text


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number in a closed range, in plain ASCII digits (``int`` would also take ``1_0`` and `` ٣``)."""

    low: int
    high: int

    @property
    def allowed(self) -> str:
        return f"a whole number from {self.low} to {self.high}"

    def convert(self, text: str) -> int:
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 16):
            raise ValueError
        if not self.low <= int(text) <= self.high:
            raise ValueError
        return int(text)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def allowed(self) -> str:
        return "one of " + ", ".join(self.words)

    def convert(self, text: str) -> str:
        if text not in self.words:
            raise ValueError
        return text


@dataclass(frozen=True, slots=True)
class Several:
    """Distinct whole numbers separated by commas, in the order given."""

    each: Whole
    most: int

    @property
    def allowed(self) -> str:
        return f"1 to {self.most} different numbers separated by commas, each {self.each.allowed}"

    def convert(self, text: str) -> tuple[int, ...]:
        parts = text.split(",", self.most)
        if len(parts) > self.most:
            raise ValueError
        numbers = tuple(self.each.convert(part) for part in parts)
        if len(set(numbers)) < len(numbers):
            raise ValueError
        return numbers


@dataclass(frozen=True, slots=True)
class Number:
    """A finite number, in plain decimal or with an exponent."""

    @property
    def allowed(self) -> str:
        return "a number, such as -6 or 1e-3"

    def convert(self, text: str) -> float:
        if not (len(text) <= 32 and re.fullmatch(r"[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?", text)):
            raise ValueError
        number = float(text)
        if not math.isfinite(number):
            raise ValueError
        return number


# Steps travel as float64 in replies, which holds whole numbers exactly up to here.
_LARGEST_STEP: Final = 2**53
_STEP: Final = Whole(0, _LARGEST_STEP)
_SINCE: Final = Whole(-1, _LARGEST_STEP)  # -1: everything, step 0 too

_RUN: Final[Mapping[str, Converter]] = {"run": Text()}
_ROW: Final[Mapping[str, Converter]] = {
    **_RUN, "node": Text(), "program": Text(), "quantity": Choice(QUANTITIES),
}  # fmt: skip
_RANGE: Final[Mapping[str, Converter]] = {"first": _STEP, "last": _STEP}
_WINDOW: Final[Mapping[str, Converter]] = {
    "statistic": Choice(DERIVED), "focus": _STEP, "window": Whole(1, 1000), **_RANGE,
}  # fmt: skip
_SCALE: Final = Choice(("linear", "symlog", "robust"))

_ASKER: Final[Mapping[str, Converter]] = {"asker": Text(64)}
_UNITS: Final = Several(Whole(0, 2**31 - 1), 4096)
_TARGET: Final[Mapping[str, Converter]] = {
    **_RUN, "step": _STEP, "node": Text(), "units": _UNITS, "program": Text(), "previous": _STEP,
    "quantity": Choice(TARGETS), **_ASKER,
}  # fmt: skip

#: The parameters of each route; those without a default in the request's dataclass are required.
PARAMETERS: Final[Mapping[str, Mapping[str, Converter]]] = {
    "runs": {"since": Text(64)},
    "loss": {**_RUN, "since": _SINCE},
    "graph": _RUN,
    "aggregates": {**_RUN, "quantity": Choice(QUANTITIES), **_WINDOW},
    "layer": {**_ROW, **_WINDOW, "m": Whole(20, 2000), "scale": _SCALE},
    "density": {**_ROW, **_WINDOW, "scale": _SCALE, "width": Whole(16, 4096), "height": Whole(16, 2048)},
    "deep": {**_RUN, "step": _STEP},
    "sample": {**_RUN, "step": _STEP, "key": Text(), "positions": Several(Whole(0, 2**31 - 1), 256)},
    "credit": {
        **_TARGET,
        "method": Choice(METHODS),
        "batch": Choice(BATCHES),
        "samples": Several(Whole(0, 2**31 - 1), 1024),
    },
    "replay": {
        **_TARGET,
        "change": Choice(CHANGES),
        "at": Text(),
        "of": _UNITS,
        "low": Number(),
        "high": Number(),
    },
    "origin": {**_RUN, "step": _STEP, "program": Text(), **_ASKER},
    "neuron": {**_ROW, "units": Several(Whole(0, 2**31 - 1), 256), "since": _SINCE, **_RANGE},
}


def parse(noun: str, kind: type[Request], pairs: Iterable[tuple[str, str]]) -> Request:
    """The request of class ``kind`` that a query string's ``pairs`` ask route ``noun`` for.

    Raises UsageError naming the parameter: unknown, given twice, missing, or not of the allowed form.
    """
    converters = PARAMETERS[noun]
    values: dict[str, object] = {}
    for name, text in pairs:
        if name not in converters:
            raise UsageError(_unknown(noun, name, converters))
        if name in values:
            raise UsageError(f"{name} is given twice; write it once")
        values[name] = _convert(name, text, converters[name])
    _check_range(values)
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]  # every request is a dataclass
        if field.name not in values and field.default is dataclasses.MISSING:
            raise UsageError(f"{field.name} is missing; {noun} needs {field.name}= ({converters[field.name].allowed})")
    return kind(**values)


def _check_range(values: Mapping[str, object]) -> None:
    first, last = values.get("first"), values.get("last")
    if (first is None) != (last is None):
        there, missing = ("first", "last") if last is None else ("last", "first")
        raise UsageError(f"{missing} is missing; {there}= needs {missing}= beside it: they are a range of steps")
    if isinstance(first, int) and isinstance(last, int) and first > last:
        raise UsageError(f"first={first} cannot be used; allowed: a step up to last={last}")


def _convert(name: str, text: str, converter: Converter) -> object:
    try:
        return converter.convert(text)
    except ValueError:
        raise UsageError(f"{name}={shorten(text)} cannot be used; allowed: {converter.allowed}") from None


def _unknown(noun: str, name: str, converters: Mapping[str, Converter]) -> str:
    close = difflib.get_close_matches(name[:64], converters, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"{shorten(name)} is not a parameter of {noun}; {hint}it takes {', '.join(converters)}"


def shorten(text: str) -> str:
    """A client's own text, quoted, escaped and cut, for a message."""
    return repr(text if len(text) <= 80 else text[:80] + "…")
