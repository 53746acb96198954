"""The data flow of a recorded step: which module's output reaches which module's input."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from dgm_tb.replay.tape import Op, reads
from lightning_callbacks.course import Began, Came, Course, Ended, Minimised
from lightning_callbacks.values import Part

#: Functional ops that are nodes where they join values of different origin: aten name -> node name.
JOINS: Final = {
    "add": "add",
    "sub": "sub",
    "rsub": "sub",
    "mul": "mul",
    "div": "div",
    "cat": "cat",
    "stack": "cat",
    "bmm": "matmul",
    "mm": "matmul",
    "baddbmm": "matmul",
    "addmm": "matmul",
    "lerp": "lerp",
    "addcmul": "mul",
    "maximum": "maximum",
    "minimum": "minimum",
    "where": "where",
}
#: Functional ops that are nodes wherever they stand.
#: Attention is one op, or several where there is no fused kernel (on the CPU with dropout): this softmax is only there.
ALWAYS: Final = {"exp": "exp", "_safe_softmax": "attention"}
#: Random ops read no values; a dropout is no sampling.
RANDOM: Final = {
    "randn": "randn",
    "randn_like": "randn",
    "normal": "randn",
    "normal_": "randn",
    "rand": "rand",
    "rand_like": "rand",
    "uniform_": "rand",
    "bernoulli": "bernoulli",
    "multinomial": "multinomial",
    "exponential_": "exponential",
    "poisson": "poisson",
    "_standard_gamma": "gamma",
    "randint": "randint",
    "randint_like": "randint",
}
_READS_VALUES: Final = frozenset({"bernoulli", "multinomial", "poisson", "_standard_gamma", "normal"})
#: How PyTorch itself writes a dropout on the CPU.
_MASK: Final = "bernoulli_"
_DRAWS: Final = frozenset({*RANDOM, _MASK})
_OVERWRITES: Final = frozenset({"copy_", "fill_", "zero_"}) | {name for name in _DRAWS if name.endswith("_")}
_ONLY_SHAPE: Final = ("_like", "new_")

Origins = frozenset[int]
NOWHERE: Final[Origins] = frozenset()


@dataclass(slots=True)
class Event:
    """Something that happened in the step: a batch tensor came, a module or an op ran, a loss was taken."""

    kind: str
    path: str  # the module's, or the enclosing module's of an op
    name: str  # of an op, input or loss
    origins: Origins
    occurrence: int = 0  # of this module in the batch
    site: str = ""  # where in the user's code an op was called
    shape: tuple[int, ...] = ()
    program: int = 0  # of a loss


def events(course: Course) -> list[Event]:
    """The step's events in order, each with those that its operands come from: memory tells, so views are right."""
    flow = _Flow(course.parts, course.calls)
    for entry in course.entries:
        _FOLLOW[type(entry)](flow, entry)
    return flow.events


@dataclass(slots=True)
class _Flow:
    """How far a step was followed. ``at``: where the content of each memory comes from."""

    parts: Sequence[Part]
    calls: Sequence[str]
    events: list[Event] = field(default_factory=list)
    at: dict[int, Origins] = field(default_factory=dict)
    stack: list[tuple[int, int | None]] = field(default_factory=list)  # calls that run, and the event of a node
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, event: Event) -> Origins:
        self.events.append(event)
        return frozenset({len(self.events) - 1})

    def read(self, parts: Iterable[Part]) -> Origins:
        return NOWHERE.union(*(self.at.get(part.memory, NOWHERE) for part in parts))

    def place(self, part: Part, origins: Origins) -> None:
        # A tensor that is only a part of its memory adds to what is already there.
        self.at[part.memory] = origins if part.whole else origins | self.at.get(part.memory, NOWHERE)

    @property
    def inside(self) -> int | None:
        """The event of the node that runs."""
        return next((event for _, event in self.stack if event is not None), None)


def _came(flow: _Flow, entry: Came) -> None:
    flow.place(entry.part, flow.add(Event("input", "", f"input{entry.path}", NOWHERE, shape=entry.part.shape)))


def _minimised(flow: _Flow, entry: Minimised) -> None:
    flow.add(Event("loss", "", "loss", flow.read([entry.part]), program=entry.program))


def _began(flow: _Flow, entry: Began) -> None:
    event = None
    if entry.leaf and flow.inside is None:
        path = flow.calls[entry.call]
        count = flow.counts.get(path, 0)
        flow.counts[path] = count + 1
        event = len(flow.events)
        flow.add(Event("module", path, "", flow.read(entry.inputs), occurrence=count))
    flow.stack.append((entry.call, event))


def _ended(flow: _Flow, entry: Ended) -> None:
    call, event = flow.stack.pop()
    while call != entry.call:  # a call that ended by an exception the user caught is still on the stack
        call, event = flow.stack.pop()
    if event is not None:
        for part in entry.outputs:
            flow.place(part, frozenset({event}))
        flow.events[event].shape = next((part.shape for part in entry.outputs if part.shape), ())


def _ran(flow: _Flow, op: Op) -> None:
    _, name, overload = op.name.split(".")
    overwritten = set(op.writes) if name in _OVERWRITES or overload.endswith("out") else set()
    silent = any(mark in name for mark in _ONLY_SHAPE) or (name in _DRAWS and name not in _READS_VALUES)
    given = [(value, flow.parts[value]) for value in reads(op)]
    read = [] if silent else [part for value, part in given if value not in overwritten]
    inside = flow.inside
    origins = frozenset({inside}) if inside is not None else _results(flow, op, name, read)
    before = {part.memory for _, part in given}
    made = [flow.parts[value] for value in op.outputs if value is not None]
    for part in made:
        if part.memory not in before:  # a view keeps the origins of its memory
            flow.place(part, origins)
    for value in op.writes:
        flow.place(flow.parts[value], origins)


def _results(flow: _Flow, op: Op, name: str, read: Sequence[Part]) -> Origins:
    """The origins of an op's results: itself, if it is worth a node."""
    origins = flow.read(read)
    plain = name.rstrip("_")
    if name in RANDOM:
        label = RANDOM[name]
    elif plain in ALWAYS and origins:
        label = ALWAYS[plain]
    elif "scaled_dot_product" in name and origins:
        label = "attention"
    elif plain in JOINS and len({flow.read([part]) for part in read} - {NOWHERE}) > 1:
        label = JOINS[plain]
    else:
        return origins
    if label in ("attention", "matmul") and (folded := _folded(flow, label, op.site, origins)) is not None:
        return folded
    shape = next((flow.parts[value].shape for value in op.outputs if value is not None), ())
    path = flow.calls[op.call] if op.call >= 0 else ""
    return flow.add(Event("op", path, label, origins, site=op.site, shape=shape))


def _folded(flow: _Flow, label: str, site: str, origins: Origins) -> Origins | None:
    """The ops of one line up to an attention's softmax, and the product with its result, as one attention."""
    parts, feeds, ahead = set[int](), set[int](), list(origins)
    while ahead:
        index = ahead.pop()
        here = flow.events[index].site == site
        (parts if here else feeds).add(index)
        ahead += flow.events[index].origins if here else ()
    begun = label == "attention" or any(flow.events[index].name == "attention" for index in parts)
    if not parts or not begun:
        return None
    event = flow.events[min(parts)]
    event.name, event.origins = "attention", frozenset(feeds)
    return frozenset({min(parts)})


_FOLLOW: Final[Mapping[type, Callable[[_Flow, Any], None]]] = {
    Op: _ran, Came: _came, Began: _began, Ended: _ended, Minimised: _minimised
}  # fmt: skip
