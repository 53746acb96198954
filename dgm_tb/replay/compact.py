"""A tape without what nothing depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from dgm_tb.replay.tape import Op, Source, Tape, needed, reads

#: The kinds of sources that have names of their own.
_NAMED: Final = ("parameter", "buffer", "input")


def compact(tape: Tape) -> tuple[Tape, dict[str, str]]:
    """The tape with only the ops that a loss or an output needs, values and positions numbered anew.

    Constants and random draws are keyed by their order, which is the same in every step of a program. Also: each key of
    the new tape's sources -> the key it had.
    """
    wanted = [(found.loss, found.at) for found in tape.programs] + [(found.value, found.at) for found in tape.outputs]
    kept = needed(tape, wanted)
    positions = _counts(kept, len(tape.ops))
    used = {number for number, _ in wanted}
    for op in (tape.ops[at] for at in kept):
        used.update((*reads(op), *op.writes, *op.fixed, *(out for out in op.outputs if out is not None)))
    numbers = {number: index for index, number in enumerate(sorted(used))}
    sources, keys = _sources(tape, numbers)
    small = replace(
        tape,
        sources=sources,
        ops=tuple(_renumbered(tape.ops[at], numbers) for at in kept),
        outputs=tuple(replace(out, value=numbers[out.value], at=positions[out.at]) for out in tape.outputs),
        programs=tuple(replace(found, loss=numbers[found.loss], at=positions[found.at]) for found in tape.programs),
        memory=_renumbered_storages([tape.memory[number] for number in sorted(used)]),
    )
    return small, keys


def _counts(kept: list[int], ops: int) -> list[int]:
    """How many of the ``kept`` positions lie before each position, the end included."""
    counts = [0] * (ops + 1)
    for at in kept:
        counts[at + 1] = 1
    for at in range(ops):
        counts[at + 1] += counts[at]
    return counts


def _sources(tape: Tape, numbers: Mapping[int, int]) -> tuple[tuple[Source, ...], dict[str, str]]:
    sources: list[Source] = []
    keys: dict[str, str] = {}
    order: dict[str, int] = {}
    for source in tape.sources:
        if source.value not in numbers:
            continue
        key = source.key
        if source.kind not in _NAMED:
            key = f"{source.kind}.{order.setdefault(source.kind, 0)}"
            order[source.kind] += 1
        sources.append(replace(source, value=numbers[source.value], key=key))
        keys[key] = source.key
    return tuple(sources), keys


def _renumbered_storages(memory: list[int]) -> tuple[int, ...]:
    order: dict[int, int] = {}
    return tuple(order.setdefault(storage, len(order)) for storage in memory)


def _renumbered(op: Op, numbers: Mapping[int, int]) -> Op:
    def argument(item: Any) -> Any:
        if isinstance(item, list):
            return [argument(part) for part in item]
        if isinstance(item, dict):
            return {"value": numbers[item["value"]]} if "value" in item else item
        return item

    return replace(
        op,
        args=argument(op.args),
        kwargs={name: argument(item) for name, item in op.kwargs.items()},
        outputs=tuple(None if out is None else numbers[out] for out in op.outputs),
        writes=tuple(numbers[number] for number in op.writes),
        fixed=tuple(numbers[number] for number in op.fixed),
    )
