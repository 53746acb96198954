"""The data flow of one step, watched under a dispatch mode: which module's output reaches which module's input."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.hooks import RemovableHandle

from lightning_callbacks import units

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
ALWAYS: Final = {"exp": "exp"}
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
    "bernoulli_": "bernoulli",
    "multinomial": "multinomial",
    "exponential_": "exponential",
    "poisson": "poisson",
    "_standard_gamma": "gamma",
    "randint": "randint",
    "randint_like": "randint",
}
_READS_VALUES: Final = frozenset({"bernoulli", "multinomial", "poisson", "_standard_gamma", "normal"})
_OVERWRITES: Final = frozenset({"copy_", "fill_", "zero_"}) | {name for name in RANDOM if name.endswith("_")}
_ONLY_SHAPE: Final = ("_like", "new_")

Origins = frozenset[int]
NOWHERE: Final[Origins] = frozenset()


@dataclass(slots=True)
class Event:
    """Something that happened in the traced step: a batch tensor came, a module or an op ran, a loss was taken."""

    kind: str
    path: str  # the module's, or the enclosing module's of an op
    name: str  # of an op, input or loss
    origins: Origins
    occurrence: int = 0  # of this module in the batch
    site: tuple[str, int] = ("", 0)  # where in the user's code an op was called
    shape: tuple[int, ...] = ()
    program: int = 0  # of a loss


class Trace(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Watches one batch; a context manager. It keeps no tensor alive: origins hang on weak references to storages."""

    def __init__(
        self,
        root: nn.Module,
        paths: Mapping[nn.Module, str],
        nodes: Mapping[str, nn.Module],
        failed: Callable[[Exception], None],
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.events: list[Event] = []
        self._root, self._paths, self._nodes, self._failed = root, paths, nodes, failed
        self._origins: dict[StorageWeakRef, Origins] = {}
        self._stack: list[tuple[nn.Module, int | None]] = []  # modules being called, and the event of a node among them
        self._counts: dict[str, int] = {}
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Trace:
        for module in self._root.modules():
            self._handles.append(module.register_forward_pre_hook(self._begin, with_kwargs=True))
            self._handles.append(module.register_forward_hook(self._end))
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._origins.clear()

    def batch(self, batch: Any) -> None:
        """Names the tensors of the step's batch as the inputs of the graph."""
        for name, tensor in units.tensors(batch):
            self._place(tensor, self._add(Event("input", "", f"input{name}", NOWHERE, shape=tuple(tensor.shape))))

    def loss(self, loss: Tensor, program: int) -> None:
        """Notes what the program's backward is called on."""
        self._add(Event("loss", "", "loss", self._read([loss]), program=program))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if self._handles and torch._C._current_graph_task_id() == -1:
            try:
                self._ran(func, (args, kwargs or {}), out)
            except Exception as error:
                self._failed(error)
        return out

    def _add(self, event: Event) -> Origins:
        self.events.append(event)
        return frozenset({len(self.events) - 1})

    def _read(self, tensors: Iterable[Tensor]) -> Origins:
        return NOWHERE.union(*(self._origins.get(_storage(t), NOWHERE) for t in tensors))

    def _place(self, tensor: Tensor, origins: Origins) -> None:
        # A tensor that is only a part of its storage adds to what is already there.
        storage = tensor.untyped_storage()
        part = tensor.numel() * tensor.element_size() < storage.nbytes()
        key = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
        self._origins[key] = origins | self._origins.get(key, NOWHERE) if part else origins

    def _ran(self, func: Any, arguments: Any, out: Any) -> None:
        name = func.overloadpacket.__name__
        inputs = [tensor for _, tensor in units.tensors(arguments)]
        written = _written(func, arguments)
        overwritten = {id(t) for t in written} if name in _OVERWRITES or func._overloadname.endswith("out") else set()
        silent = any(mark in name for mark in _ONLY_SHAPE) or (name in RANDOM and name not in _READS_VALUES)
        read = [] if silent else [t for t in inputs if id(t) not in overwritten]
        origins = self._read(read)
        inside = self._inside()
        origins = frozenset({inside}) if inside is not None else self._op(name, read, origins, out)
        before = {_storage(t) for t in inputs}
        for _, tensor in units.tensors(out):
            if _storage(tensor) not in before:  # a view keeps the origins of its storage
                self._place(tensor, origins)
        for tensor in written:
            self._place(tensor, origins)

    def _inside(self) -> int | None:
        return next((event for _, event in self._stack if event is not None), None)

    def _op(self, name: str, read: list[Tensor], origins: Origins, out: Any) -> Origins:
        """The origins of an op's results: itself, if it is worth a node."""
        plain = name.rstrip("_")
        if name in RANDOM:
            label = RANDOM[name]
        elif plain in ALWAYS and origins:
            label = ALWAYS[plain]
        elif "scaled_dot_product" in name and origins:
            label = "attention"
        elif plain in JOINS and len({self._read([t]) for t in read} - {NOWHERE}) > 1:
            label = JOINS[plain]
        else:
            return origins
        shape = next((tuple(tensor.shape) for _, tensor in units.tensors(out)), ())
        path = self._paths.get(self._stack[-1][0], "") if self._stack else ""
        return self._add(Event("op", path, label, origins, site=_site(), shape=shape))

    def _begin(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        try:
            if torch._C._current_graph_task_id() != -1:
                return
            path, event = self._paths.get(module, ""), None
            if path in self._nodes and units.leaf(module) and self._inside() is None:
                count = self._counts.get(path, 0)
                self._counts[path] = count + 1
                origins = self._read(tensor for _, tensor in units.tensors((args, kwargs)))
                event = len(self.events)
                self._add(Event("module", path, "", origins, occurrence=count))
            self._stack.append((module, event))
        except Exception as error:
            self._failed(error)

    def _end(self, module: nn.Module, args: Any, output: Any) -> None:
        try:
            if torch._C._current_graph_task_id() != -1:
                return
            while self._stack:  # a call that ended by an exception the user caught is still on the stack
                ended, event = self._stack.pop()
                if ended is module:
                    break
            else:
                return
            if event is not None:
                for _, tensor in units.tensors(output):
                    self._place(tensor, frozenset({event}))
                    self.events[event].shape = self.events[event].shape or tuple(tensor.shape)
        except Exception as error:
            self._failed(error)


def _storage(tensor: Tensor) -> StorageWeakRef:
    return StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]


def _written(func: Any, arguments: Any) -> list[Tensor]:
    """The tensors that an op changes in place."""
    schema = func._schema
    if not schema.is_mutable:
        return []
    args, kwargs = arguments
    values = {argument.name: value for argument, value in zip(schema.arguments, args, strict=False)} | kwargs
    return [
        tensor
        for argument in schema.arguments
        if argument.alias_info is not None and argument.alias_info.is_write
        for _, tensor in units.tensors(values.get(argument.name))
    ]


def _site() -> tuple[str, int]:
    """The line of the user's code that runs: the innermost one outside torch and this file."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        name = frame.f_code.co_filename
        if name != __file__ and "/torch/" not in name:
            break
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno
