"""The graph of a traced step: its events, folded to nodes and edges."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dgm_tb.records import Edge, Graph, Node
from lightning_callbacks.hooks import SEPARATE_CALLS, Call, program_name
from lightning_callbacks.trace import NOWHERE, Event, Origins


@dataclass(slots=True)
class _Resolved:
    names: dict[int, str] = field(default_factory=dict)
    programs: dict[int, set[int]] = field(default_factory=dict)


def build(
    events: list[Event],
    named: Iterable[tuple[Call, tuple[tuple[int, str], ...]]],
    describe: Callable[[str, str], Node],
    group_types: Mapping[str, str],
    step: int,
) -> Graph:
    """The `Graph` of a traced step's ``events``.

    ``named`` are the batch's calls with their (program, node name) (`Hooks.named`), ``describe(node, path)`` the facts
    of a module's node, ``group_types`` every module's path and type.
    """
    kept = _worthwhile(events)
    origins = _origins(events, kept)
    resolved = _resolve(events, kept, origins, named)
    first: dict[str, int] = {}
    calls: dict[str, int] = {}
    for index in kept:
        first.setdefault(resolved.names[index], index)
        calls[resolved.names[index]] = calls.get(resolved.names[index], 0) + 1
    programs: dict[str, set[int]] = {}
    for index in kept:
        programs.setdefault(resolved.names[index], set()).update(resolved.programs[index])
    nodes = tuple(_node(events[index], name, calls[name], programs[name], describe) for name, index in first.items())
    names = resolved.names
    pairs = dict.fromkeys((names[source], names[index]) for index in kept for source in sorted(origins[index]))
    edges = tuple(Edge(source, target, back=first[source] >= first[target]) for source, target in pairs)
    return Graph(step, nodes, edges, _groups(nodes, group_types))


def _worthwhile(events: list[Event]) -> list[int]:
    """Modules, losses, the inputs that are used, and the ops on a path to a module: not the arithmetic of the loss."""
    module_ahead: set[int] = set()
    used: set[int] = set()
    for index in reversed(range(len(events))):
        event = events[index]
        if event.kind == "module" or (event.kind == "op" and index in module_ahead):
            module_ahead |= event.origins
        if event.kind != "op" or index in module_ahead:
            used |= event.origins
        else:
            used |= event.origins if index in used else NOWHERE
    return [
        index
        for index, event in enumerate(events)
        if event.kind in ("module", "loss")
        or (event.kind == "op" and index in module_ahead)
        or (event.kind == "input" and index in used)
    ]


def _origins(events: list[Event], kept: list[int]) -> dict[int, Origins]:
    """The kept events that feed each event, past those that are left out."""
    stays = set(kept)
    through: dict[int, Origins] = {}
    for index, event in enumerate(events):
        through[index] = NOWHERE.union(*(frozenset({o}) if o in stays else through[o] for o in event.origins))
    return through


def _resolve(
    events: list[Event],
    kept: list[int],
    origins: Mapping[int, Origins],
    named: Iterable[tuple[Call, tuple[tuple[int, str], ...]]],
) -> _Resolved:
    result = _Resolved()
    calls: dict[tuple[str, int], tuple[tuple[int, str], ...]] = {}
    counts: dict[str, int] = {}
    for call, names in named:
        calls[call.path, counts.get(call.path, 0)] = names
        counts[call.path] = counts.get(call.path, 0) + 1
    for index in kept:
        event = events[index]
        served = calls.get((event.path, event.occurrence), ()) if event.kind == "module" else ()
        result.programs[index] = {event.program} if event.kind == "loss" else {program for program, _ in served}
    for index in reversed(kept):  # ops serve the programs of what they feed
        for origin in origins[index]:
            if events[origin].kind in ("op", "input"):
                result.programs[origin] |= result.programs[index]
    numbers = _op_numbers(events, kept, result.programs)
    for index in kept:
        event = events[index]
        if event.kind == "module":
            first = next(iter(calls.get((event.path, event.occurrence), ())), (0, event.path))
            result.names[index] = first[1]
        elif event.kind == "op":
            base = f"{event.path}.{event.name}" if event.path else event.name
            result.names[index] = base + (f"#{numbers[index]}" if numbers[index] else "")
        else:
            result.names[index] = event.name + (f"#{event.program}" if event.program else "")
    return result


def _op_numbers(events: list[Event], kept: list[int], programs: Mapping[int, set[int]]) -> dict[int, int]:
    """Which of its kind an op is within the enclosing module: lines of code and, up to four, their repetitions."""
    occurrences: dict[tuple[Any, ...], list[int]] = {}
    for index in kept:
        event = events[index]
        if event.kind == "op":
            key = event.path, event.name, event.site, min(programs[index], default=0)
            occurrences.setdefault(key, []).append(index)
    slots: dict[tuple[str, str], dict[tuple[Any, int], int]] = {}
    numbers: dict[int, int] = {}
    for (path, name, site, _), indices in occurrences.items():
        taken = slots.setdefault((path, name), {})
        for k, index in enumerate(indices):
            repetition = k if len(indices) <= SEPARATE_CALLS else 0
            numbers[index] = taken.setdefault((site, repetition), len(taken))
    return numbers


def _node(event: Event, name: str, calls: int, programs: set[int], describe: Callable[[str, str], Node]) -> Node:
    served = tuple(program_name(program) for program in sorted(programs))
    if event.kind == "module":
        known = describe(name, event.path)
        return replace(known, programs=served, shape=event.shape, calls=calls)
    width = (event.shape[1] if len(event.shape) > 3 else event.shape[-1]) if event.shape else 1
    kind = "input" if event.kind == "input" else event.name
    return Node(name, kind, event.path, width, served, (), 0, event.shape, calls, event.kind)


def _groups(nodes: Iterable[Node], types: Mapping[str, str]) -> dict[str, str]:
    """The enclosing modules of ``nodes``, outermost first."""
    found: set[str] = set()
    for node in nodes:
        path = node.group
        while path:
            found.add(path)
            path = path.rpartition(".")[0]
    return {path: types[path] for path in types if path in found}


def merge(first: Graph | None, second: Graph) -> Graph:
    """The union of two traces of one model: a step that takes another path adds to the graph, it removes nothing."""
    if first is None:
        return second
    nodes = {node.name: node for node in first.nodes}
    for node in second.nodes:
        old = nodes.get(node.name, node)
        programs = tuple(sorted({*old.programs, *node.programs}))
        quantities = tuple(dict.fromkeys((*old.quantities, *node.quantities)))
        calls = max(old.calls, node.calls)
        nodes[node.name] = replace(node, programs=programs, quantities=quantities, calls=calls)
    edges = {(edge.source, edge.target): edge for edge in (*second.edges, *first.edges)}
    return Graph(
        second.step,
        tuple(nodes.values()),
        tuple(edges.values()),
        {**first.groups, **second.groups},
        _labels(first.programs, second.programs),
    )


def _labels(first: Mapping[str, str], second: Mapping[str, str]) -> dict[str, str]:
    """Of programs that are one optimizer's in some steps and another's in others: both."""
    found = dict(first)
    for program, label in second.items():
        known = found.get(program, program)
        if known == program:
            found[program] = label
        elif label not in (program, *known.split(" or ")):
            found[program] = f"{known} or {label}"
    return found
