"""The exceptions a caller of this project may want to catch."""

from __future__ import annotations


class DgmError(Exception):
    """Any error that this project raises on purpose; its message says what to do instead."""


class UsageError(DgmError, ValueError):
    """An argument cannot be used; the message names it, its value and the remedy."""


class UnknownNameError(DgmError, LookupError):
    """A run, node, program or unit that was asked for is not there."""


class FormatError(DgmError):
    """Bytes in a run directory are not what ``docs/format.md`` describes."""
