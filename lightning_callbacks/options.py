"""What a person asks to be recorded: the arguments, parsed and checked once."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dgm_tb.errors import UsageError
from dgm_tb.records import QUANTITIES

ALL: Final = QUANTITIES


@dataclass(frozen=True, slots=True)
class Options:
    """The parsed arguments of `DynamicsMonitor` and `Recorder`; patterns are searched for in module paths."""

    every_n_steps: int
    quantities: frozenset[str]
    include: tuple[re.Pattern[str], ...]
    exclude: tuple[re.Pattern[str], ...]
    unit_axis: tuple[tuple[re.Pattern[str], int], ...]


def parse(
    every_n_steps: int,
    quantities: Collection[str],
    include: str | Sequence[str] | None,
    exclude: str | Sequence[str] | None,
    unit_axis: Mapping[str, int] | None,
) -> Options:
    """Raises `UsageError` with the argument, its value and what to write instead."""
    if isinstance(every_n_steps, bool) or not isinstance(every_n_steps, int) or every_n_steps < 1:
        raise UsageError(
            f"every_n_steps={every_n_steps!r} must be an integer of at least 1: 1 captures every step, "
            "50 every fiftieth; to record nothing, leave the monitor out"
        )
    return Options(
        every_n_steps,
        _quantities(quantities),
        _patterns("include", include),
        _patterns("exclude", exclude),
        tuple(_axis(pattern, axis) for pattern, axis in (unit_axis or {}).items()),
    )


def _quantities(names: Collection[str]) -> frozenset[str]:
    given = (names,) if isinstance(names, str) else tuple(names)
    if not given:
        raise UsageError(f"quantities={names!r} is empty: name some of {', '.join(QUANTITIES)}")
    for name in given:
        if name not in QUANTITIES:
            close = difflib.get_close_matches(str(name), QUANTITIES, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"allowed are {', '.join(QUANTITIES)}"
            raise UsageError(f"quantities={names!r}: there is no quantity {name!r}; {hint}")
    return frozenset(given)


def _patterns(argument: str, value: str | Sequence[str] | None) -> tuple[re.Pattern[str], ...]:
    given = (value,) if isinstance(value, str) else tuple(value or ())
    return tuple(_pattern(argument, text) for text in given)


def _pattern(argument: str, text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except (re.error, TypeError) as error:
        raise UsageError(
            f"{argument}={text!r} is no regular expression ({error}); write for example "
            r"'^encoder\.' for all modules in encoder"
        ) from error


def _axis(text: str, axis: int) -> tuple[re.Pattern[str], int]:
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise UsageError(f"unit_axis={{{text!r}: {axis!r}}}: the axis must be an integer, such as -1 for the last")
    return _pattern("unit_axis", text), axis
