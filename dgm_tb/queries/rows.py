"""Which stored row a request means, and a helpful refusal where there is none."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from dgm_tb.errors import UnknownNameError
from dgm_tb.records import RowKey


def find(keys: Mapping[RowKey, int], node: str, quantity: str, program: str | None) -> RowKey:
    """The key of ``quantity`` of ``node``; without a program the first one it was recorded in.

    Raises UnknownNameError naming what there is instead.
    """
    of_node = [key for key in keys if key.node == node]
    if not of_node:
        raise UnknownNameError(f"node {node!r} has no recorded rows{_close(node, (key.node for key in keys))}")
    of_quantity = [key for key in of_node if key.quantity == quantity]
    if not of_quantity:
        there = ", ".join(dict.fromkeys(key.quantity for key in of_node))
        raise UnknownNameError(f"quantity {quantity} was not recorded of node {node!r}; recorded: {there}")
    if program is None:
        return of_quantity[0]
    for key in of_quantity:
        if key.program == program:
            return key
    there = ", ".join(key.program for key in of_quantity)
    raise UnknownNameError(f"program {program!r} has no {quantity} of node {node!r}; recorded in: {there}")


def _close(name: str, names: Iterable[str]) -> str:
    # Distinct names only, and not many: get_close_matches compares with each of them.
    close = difflib.get_close_matches(name, list(dict.fromkeys(names))[:2000], n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
