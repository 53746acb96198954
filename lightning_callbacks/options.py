"""What a person asks to be recorded: the arguments, parsed and checked once."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

from dgm_tb.errors import UsageError
from dgm_tb.moments import STATISTICS
from dgm_tb.records import QUANTITIES
from lightning_callbacks import patterns
from lightning_callbacks.patterns import ByName, Named, Pattern

#: The default of ``quantities`` and of ``statistics``: all there are.
ALL: Final = "all"

#: What can be told of a module that its type and name do not say; `roles` in `DynamicsMonitor`.
ROLES: Final = (
    "mean", "logvar", "latent", "reconstruction", "kl",  # of a variational autoencoder
    "codebook", "generator", "discriminator", "real", "fake", "attention", "logits",
)  # fmt: skip

#: What must be stored so that a statistic can be told, and merged over the ranks of a training (`moments.merge`).
NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "count": (),
    "mean": ("mean", "nonfinite"),
    "m2": ("mean", "m2", "nonfinite"),
    "std": ("mean", "m2", "nonfinite"),
    "min": ("min",),
    "max": ("max",),
    "zeros": ("zeros",),
    "zero_fraction": ("zeros",),
    "nonfinite": ("nonfinite",),
    "argmax_sample": ("min", "max", "argmax_sample"),
}

_BYTES: Final = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
                 "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}  # fmt: skip
_COMPILED: Final = ("eager", "skip")
_DTYPES: Final = (None, "float16")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Group:
    """How modules that `DynamicsMonitor(groups=...)` names are recorded; None: as all others are.

    ``every_n_steps``, ``quantities`` and ``statistics`` are what they are in `DynamicsMonitor`.
    """

    every_n_steps: int | None = None
    quantities: Collection[str] | None = None
    statistics: Collection[str] | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """What is recorded of a module, and how often; ``statistics`` are stored channels, in the order of `STATISTICS`."""

    every_n_steps: int
    quantities: frozenset[str]
    statistics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Options:
    """The parsed arguments of `DynamicsMonitor` and `Recorder`; the first pattern that names a module counts.

    ``roles`` stand under what the person wrote, a path or a regular expression: a model's paths decide which it is.
    ``max_disk`` is in bytes, over all ranks; None is unlimited.
    """

    share: Share
    include: tuple[Pattern, ...] = ()
    exclude: tuple[Pattern, ...] = ()
    calls: tuple[tuple[Pattern, int], ...] = ()
    unit_axis: tuple[tuple[Pattern, int], ...] = ()
    roles: tuple[tuple[str, Pattern, str], ...] = ()
    groups: tuple[tuple[Pattern, Share], ...] = ()
    max_disk: int | None = None
    compiled: str = "eager"
    dtype: str | None = None
    deep_every_n_steps: int | str = "auto"
    max_deep_bytes: int = 256 << 20

    @property
    def every_n_steps(self) -> int:
        return self.share.every_n_steps

    @property
    def half(self) -> bool:
        """Whether activations may be stored in half precision where it is not exact."""
        return self.dtype == "float16"


def parse(
    every_n_steps: int = 50,
    *,
    quantities: Collection[str] = ALL,
    statistics: Collection[str] = ALL,
    include: Named | Sequence[Named] | None = None,
    exclude: Named | Sequence[Named] | None = None,
    calls: ByName[int] | None = None,
    unit_axis: ByName[int] | None = None,
    roles: Mapping[str, str] | None = None,
    groups: ByName[Group] | None = None,
    max_disk: str | int | None = None,
    compiled: str = "eager",
    dtype: str | None = None,
    deep_every_n_steps: int | str = "auto",
    max_deep_bytes: str | int = "256MiB",
) -> Options:
    """Raises `UsageError` with the argument, its value and what to write instead."""
    share = Share(
        _interval("every_n_steps", every_n_steps),
        frozenset(_names("quantities", quantities, QUANTITIES)),
        stored(_names("statistics", statistics, tuple(NEEDS))),
    )
    return Options(
        share,
        patterns.parse("include", include),
        patterns.parse("exclude", exclude),
        tuple((patterns.pattern("calls", name), _calls(name, most)) for name, most in _items("calls", calls)),
        tuple((patterns.pattern("unit_axis", name), _axis(name, n)) for name, n in _items("unit_axis", unit_axis)),
        tuple((name, patterns.pattern("roles", name), _role(name, role)) for name, role in _items("roles", roles)),
        tuple((patterns.pattern("groups", name), _group(name, g, share)) for name, g in _items("groups", groups)),
        None if max_disk is None else _size("max_disk", max_disk),
        _one_of("compiled", compiled, _COMPILED),
        _one_of("dtype", dtype, _DTYPES),
        _deep(deep_every_n_steps),
        _size("max_deep_bytes", max_deep_bytes),
    )


def stored(statistics: Iterable[str]) -> tuple[str, ...]:
    """The channels that must be stored for ``statistics``, in the order of `STATISTICS`; ``count`` always."""
    needed = {"count"}.union(*(NEEDS[statistic] for statistic in statistics))
    return tuple(channel for channel in STATISTICS if channel in needed)


def _interval(argument: str, steps: Any) -> int:
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise UsageError(
            f"{argument}={steps!r} must be an integer of at least 1: 1 captures every step, "
            "50 every fiftieth; to record nothing, leave the monitor out"
        )
    return steps


def _names(argument: str, given: Any, allowed: tuple[str, ...]) -> tuple[str, ...]:
    if given == ALL:
        return allowed
    try:
        names = (given,) if isinstance(given, str) else tuple(given)
    except TypeError:
        names = ()
    if not names:
        raise UsageError(f"{argument}={given!r} names nothing: name some of {', '.join(allowed)}")
    return tuple(_one_of(argument, name, allowed, given) for name in names)


def _one_of(argument: str, name: Any, allowed: Sequence[T], given: object = None) -> T:
    if name not in allowed:
        close = difflib.get_close_matches(str(name), [str(other) for other in allowed if other is not None], 1)
        shown = ", ".join(str(other) for other in allowed)
        hint = f"did you mean {close[0]!r}?" if close else f"allowed are {shown}"
        raise UsageError(f"{argument}={name if given is None else given!r}: there is no {name!r}; {hint}")
    return cast("T", name)


def _items(argument: str, value: Any) -> list[tuple[Any, Any]]:
    if value is not None and not isinstance(value, Mapping):
        raise UsageError(f"{argument}={value!r} must be a dict, such as {{'^encoder': ...}}")
    return list((value or {}).items())


def _calls(name: Named, most: Any) -> int:
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise UsageError(f"calls={{{name!r}: {most!r}}}: write how many calls are kept apart, at least 1")
    return most


def _axis(name: Named, axis: Any) -> int:
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise UsageError(f"unit_axis={{{name!r}: {axis!r}}}: the axis must be an integer, such as -1 for the last")
    return axis


def _role(name: Any, role: Any) -> str:
    if not isinstance(name, str):
        raise UsageError(f"roles={{{name!r}: {role!r}}}: name the module by its path, such as 'encoder.fc_logvar'")
    return _one_of(f"roles={{{name!r}: ...}}, role", role, ROLES)


def _group(name: Named, group: Any, share: Share) -> Share:
    if not isinstance(group, Group):
        raise UsageError(f"groups={{{name!r}: {group!r}}}: write Group(every_n_steps=500), of lightning_callbacks")
    where = f"groups={{{name!r}: ...}}, "
    quantities, statistics = group.quantities, group.statistics
    return Share(
        share.every_n_steps if group.every_n_steps is None else _interval(where + "every_n_steps", group.every_n_steps),
        share.quantities if quantities is None else frozenset(_names(where + "quantities", quantities, QUANTITIES)),
        share.statistics if statistics is None else stored(_names(where + "statistics", statistics, tuple(NEEDS))),
    )


def _deep(steps: Any) -> int | str:
    if steps == "auto" or (isinstance(steps, int) and not isinstance(steps, bool) and steps >= 0):
        return cast("int | str", steps)
    raise UsageError(
        f"deep_every_n_steps={steps!r} must be 'auto', a number of steps, or 0 to keep neither weights nor batches"
    )


def _size(argument: str, given: Any) -> int:
    """Bytes of ``2GiB``, ``500 MB``, 10_000_000."""
    text = str(given) if isinstance(given, str | int) and not isinstance(given, bool) else ""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text.lower())
    size = int(float(found[1]) * _BYTES[found[2]]) if found and found[2] in _BYTES else 0
    if size < 1:
        unlimited = "; None lets the run grow without a limit" if argument == "max_disk" else ""
        raise UsageError(
            f"{argument}={given!r} is no size: write for example '2GiB', '500MiB' or a number of bytes{unlimited}"
        )
    return size
