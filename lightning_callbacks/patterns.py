"""How an argument names modules: by a regular expression on their paths, or by their type."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from torch import nn

from dgm_tb.errors import UsageError

T = TypeVar("T")

#: What a person writes: a regular expression searched for in module paths, or a module type.
Named: TypeAlias = str | type[nn.Module]
#: Something for each `Named`. Any, since keys of a `Mapping` are invariant: a dict with strings alone would be refused.
ByName: TypeAlias = Mapping[Any, T]


@dataclass(frozen=True, slots=True)
class Pattern:
    """One parsed name of modules, and the ``argument`` it was given to; exactly one of ``path`` and ``kind`` is set."""

    argument: str
    path: re.Pattern[str] | None = None
    kind: type[nn.Module] | None = None

    def __str__(self) -> str:
        return repr(self.path.pattern) if self.path is not None else self.kind.__name__ if self.kind else ""

    def matches(self, path: str, module: nn.Module) -> bool:
        """Whether it names this very module."""
        return bool(self.path.search(path)) if self.path is not None else isinstance(module, self.kind or ())

    def covers(self, path: str, named: Mapping[str, nn.Module]) -> bool:
        """Whether it names the module at ``path`` or, by type, one that encloses it; ``named``: the outermost first."""
        if self.kind is None:
            return self.matches(path, named[path])
        parts = path.split(".")
        above = (next(iter(named)), *(".".join(parts[:depth]) for depth in range(1, len(parts) + 1)))
        return any(isinstance(named[each], self.kind) for each in above if each in named)


def parse(argument: str, value: Named | Sequence[Named] | None) -> tuple[Pattern, ...]:
    """One name or several. Raises `UsageError` for what is neither a regular expression nor a module type."""
    given: Iterable[Any] = (value,) if isinstance(value, str | type) else value or ()
    return tuple(pattern(argument, item) for item in given)


def pattern(argument: str, given: Any) -> Pattern:
    if isinstance(given, type) and issubclass(given, nn.Module):
        return Pattern(argument, kind=given)
    try:
        return Pattern(argument, path=re.compile(given))
    except (re.error, TypeError) as error:
        raise UsageError(
            f"{argument}={given!r} is neither a regular expression nor a module type ({error}); write for example "
            r"'^encoder\.' for all modules in encoder, or torch.nn.Linear"
        ) from error


def found(patterns: Iterable[Pattern], named: Mapping[str, nn.Module]) -> None:
    """Raises `UsageError` for a pattern that names no module of ``named`` (path -> module), with what is near."""
    for each in patterns:
        if any(each.matches(path, module) for path, module in named.items()):
            continue
        if each.kind is not None:
            types = sorted({type(module).__name__ for module in named.values()})
            close = difflib.get_close_matches(each.kind.__name__, types, 1)
            hint = f"did you mean {close[0]}?" if close else f"its types are: {', '.join(types[:8])}"
            raise UsageError(f"{each.argument}={each}: the model has no module of this type; {hint}")
        raise UsageError(f"{each.argument}={each} matches no module path; {nearby(str(each)[1:-1], named)}")


def nearby(text: str, paths: Iterable[str]) -> str:
    """What to write instead of a path or pattern that is not there."""
    known = list(paths)
    # A pattern's own signs (^, \., $) are no letters of a path.
    plain = re.sub(r"\\(?=\W)|[\^$]|\.[*+?]", "", text)
    close = difflib.get_close_matches(plain, known, 3)
    # "encodr" is near no whole path "encoder.0.fc", but near one of its parts.
    parts = {part: path for path in reversed(known) for part in path.split(".")}
    close = close or [parts[part] for part in difflib.get_close_matches(plain, parts, 3)]
    return f"did you mean {' or '.join(map(repr, close))}?" if close else f"paths look like: {', '.join(known[1:6])}"
