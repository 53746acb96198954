"""A tape while it is written: what each op was given and made, as values, and the sources that come from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from dgm_tb.replay import tape as tapes
from dgm_tb.replay.compact import compact
from dgm_tb.replay.tape import Json, Op, Output, Program, Tape
from lightning_callbacks import arguments, units
from lightning_callbacks.gradients import Gradients
from lightning_callbacks.recorded import Recorded, Seen, UnrecordableError
from lightning_callbacks.sources import Sources
from lightning_callbacks.values import Values, has_place


@dataclass(frozen=True, slots=True)
class Given:
    """An op's arguments as they were before it ran. ``aside``: the op is no part of the program.

    ``strange``: the type of an argument that no tape has a word for.
    """

    args: list[Json]
    kwargs: dict[str, Json]
    aside: bool
    strange: str


class Draft:
    """The ops, values and sources so far; more than ``max_bytes`` of sources raise `UnrecordableError`.

    After `give_up` it keeps no numbers, and ops and their values are told apart by their memory only.
    """

    def __init__(self, root: nn.Module, max_bytes: int) -> None:
        self.values = Values()
        self.reason = "" if max_bytes else "no tape was asked for"  # why there is none
        self._sources = Sources(root, max_bytes)
        self._gradients = Gradients(root.parameters(), self.values)
        self._ops: list[Op] = []
        self._counts: dict[str, int] = {}
        self._seen: list[Seen] = []
        self._outputs: list[Output] = []
        self._programs: list[Program] = []

    def give_up(self, reason: str) -> None:
        self.reason = reason
        self._sources.clear()

    def batch(self, named: Sequence[tuple[str, Tensor]]) -> None:
        """The step's inputs, as they are now."""
        for name, tensor in named:
            if not self._sources.named(tensor):
                self._sources.name(tensor, "input", name)
                self._source(tensor)

    def loss(self, loss: Tensor, program: str) -> None:
        self._programs.append(Program(program, self._read(loss), len(self._ops)))

    def returned(self, path: str, output: Any) -> None:
        """What a module returned: the outputs of a node."""
        occurrence = self._counts.get(path, 0)
        self._counts[path] = occurrence + 1
        for index, (name, tensor) in enumerate(units.tensors(output)):
            if units.has_units(tensor) and has_place(tensor):
                self._seen.append(Seen(path, occurrence, name if index else ""))
                self._outputs.append(Output("", "", self._read(tensor), len(self._ops), 0))

    def differentiated(self) -> None:
        """A backward pass runs: parameters may have other gradients than before."""
        self._gradients.told = False

    def given(self, args: Sequence[Any], kwargs: Mapping[str, Any], *, in_backward: bool) -> Given:
        """Before an op: its arguments, as they are now."""
        leaves = [] if self.reason else list(arguments.leaves((args, kwargs)))
        strange = arguments.strange(leaves)
        aside = bool(self.reason or strange) or (
            not in_backward and self._gradients.touched(leaf for leaf in leaves if isinstance(leaf, Tensor))
        )
        number = self._glimpse if aside else self._read
        encoded = [arguments.encode(argument, number) for argument in args]
        return Given(encoded, {name: arguments.encode(kwargs[name], number) for name in kwargs}, aside, strange)

    def made(self, func: Any, given: Given, args: Any, kwargs: Any, out: Any, call: int, site: str) -> Op:
        """After an op: the op, which is one of the tape's if it is part of the program."""
        leaves = list(arguments.leaves(out))
        changed = arguments.written(func, args, kwargs)
        writes = tuple(tapes.values_in(arguments.written(func, given.args, given.kwargs)))
        number = self._glimpse if given.aside or self.reason else self._output
        outputs = tuple(number(leaf) if isinstance(leaf, Tensor) else None for leaf in leaves)
        name = f"{func.namespace}.{func.overloadpacket.__name__}.{func._overloadname}"
        op = Op(name, given.args, given.kwargs, outputs, writes, (), torch.is_grad_enabled(), call, site)
        if self.reason:
            return op
        if given.aside:
            self._set_aside(func, given, arguments.tensors((out, changed)))
            return op
        for value, tensor in zip(writes, arguments.tensors(changed), strict=True):
            self.values.wrote(value, tensor)
        if func is torch.ops.aten.detach.default and outputs[0] is not None:
            self.values.detached(outputs[0], next(tapes.values_in(given.args)))
        if arguments.draws(func, given.args, given.kwargs):
            if func.overloadpacket.__name__ in arguments.OPAQUE:
                self.give_up(f"{name} draws within: what it drew cannot be told from what it computes")
                return op
            kept = arguments.tensors(changed) if "rrelu" in name else arguments.tensors(leaves)
            op = replace(op, fixed=tuple(self._drawn(tensor) for tensor in kept))
        self._ops.append(op)
        return op

    def recorded(self, step: int, versions: Mapping[str, str], calls: Sequence[str]) -> Recorded:
        """The tape, without the ops that no loss and no noted output depends on."""
        if self.reason:
            raise UnrecordableError(self.reason)
        whole = Tape(
            step, tuple(self._sources.found.values()), tuple(self._ops), tuple(calls), tuple(self._outputs),
            tuple(self._programs), tuple(part.memory for part in self.values.parts), dict(versions),
        )  # fmt: skip
        small, keys = compact(whole)
        return Recorded(small, tuple(self._seen), {key: self._sources.tensors[known] for key, known in keys.items()})

    def _set_aside(self, func: Any, given: Given, made: list[Tensor]) -> None:
        """What was made of gradients is none of the program; what of a new view of raw memory is a constant if read."""
        if not given.strange:
            self._gradients.add(made)
            return
        if any(tensor.requires_grad for tensor in made):
            raise UnrecordableError(f"{func} has an argument of type {given.strange}, and the loss may depend on it")
        for tensor in made:
            self.values.forget(tensor)

    def _read(self, tensor: Tensor) -> int:
        """The value that ``tensor`` is; a source where the program has not made it."""
        found = self.values.known(tensor)
        if found is None and has_place(tensor) and not self._sources.named(tensor) and not self._gradients.hold(tensor):
            found = self.values.lying_there(tensor)
        meant = None if found is None else self.values.meant(found, tensor)
        return self._source(tensor) if meant is None else meant

    def _source(self, tensor: Tensor) -> int:
        value = self.values.add(tensor)
        self._sources.read(value, tensor)
        self.values.came(value, tensor)
        return value

    def _glimpse(self, tensor: Tensor) -> int:
        """The value that ``tensor`` is or, of what the program knows nothing of, some value in its memory."""
        known = self.values.known(tensor)
        return self.values.add(tensor, findable=bool(self.reason)) if known is None else known

    def _output(self, tensor: Tensor) -> int:
        if not has_place(tensor):
            raise UnrecordableError(f"the step makes a {type(tensor).__name__} with layout {tensor.layout}")
        known = self.values.known(tensor)
        return self.values.add(tensor) if known is None else known

    def _drawn(self, tensor: Tensor) -> int:
        value = self.values.copy(tensor)
        self._sources.drawn(value, tensor)
        return value
