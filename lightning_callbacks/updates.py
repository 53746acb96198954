"""Weights, their gradients and what the optimizer really made of them, around an optimizer's step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from dgm_tb.records import RowKey
from lightning_callbacks import compiled, keeping, scaling, sharded
from lightning_callbacks.keeping import Kept
from lightning_callbacks.units import Weight


class Updates:
    """Hooks around every optimizer step of one batch; a context manager.

    ``program`` says the program of the latest backward pass, under whose name an optimizer's rows stand. Lightning
    tells by `before_step` when the gradients are complete and unscaled, before it clips them; elsewhere the optimizer's
    own hook does, and for a step with a closure the gradients are read after it. ``memory`` holds copies of weights
    between captures.
    """

    def __init__(
        self,
        weights: Sequence[Weight],
        parameters: Sequence[Tensor],
        *,
        due: Mapping[str, frozenset[str]],
        program: Callable[[], str],
        lightning: bool,
        memory: dict[int, Kept],
        failed: Callable[[Exception], None],
    ) -> None:
        self.rows: list[tuple[RowKey, Tensor]] = []
        self.norms: list[Tensor] = []  # 0-d: L2 norms of the gradients that no weight_gradient row covers
        self.stepped: dict[str, list[tuple[Optimizer, tuple[str, ...]]]] = {}  # program -> optimizers, nodes
        self._quantities, self._program, self._lightning, self._failed = due, program, lightning, failed
        self._memory = memory
        self._weights = {id(weight.parameter): weight for weight in weights}
        self._parameters = {id(parameter) for parameter in parameters}
        self._before: dict[int, tuple[str, list[tuple[Weight, Kept]], bool]] = {}
        self._stepping: set[int] = set()  # ids of the parameters of optimizers whose step has begun
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Updates:
        self._handles = [
            register_optimizer_step_pre_hook(self._guarded(self._pre)),
            register_optimizer_step_post_hook(self._guarded(self._post)),
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._before.clear()
        self._stepping.clear()

    def _guarded(self, step: Callable[[Optimizer, Any, Any], None]) -> Callable[[Optimizer, Any, Any], None]:
        def hook(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
            try:
                step(optimizer, args, kwargs)
            except Exception as error:
                self._failed(error)

        return compiled.untouched(hook)

    def _pre(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        closure = kwargs.get("closure") if "closure" in kwargs else next(iter(args[1:]), None)
        if id(optimizer) in self._before or (self._lightning and closure is not None):
            return
        self.before_step(optimizer, gradients=closure is None)

    def before_step(self, optimizer: Optimizer, gradients: bool = True) -> None:
        """Reads weights and gradients and keeps a copy of the weights; ``gradients``: they are complete by now."""
        owned = [p for group in optimizer.param_groups for p in group["params"] if id(p) in self._parameters]
        if not owned or any(id(p) in self._stepping for p in owned):  # an optimizer inside one whose step has begun
            return
        mine = [self._weights[id(p)] for p in owned if id(p) in self._weights]
        program = self._program()
        kept: list[tuple[Weight, Kept]] = []
        for weight in mine:
            if "update" in self._due(weight):
                kept.append((weight, self._keep(weight, program)))
            else:
                self._reduce(weight, program, "weight", weight.parameter.detach())
        self._before[id(optimizer)] = program, kept, gradients
        self._stepping.update(id(p) for p in owned)
        if gradients:
            self._read_gradients(optimizer, program)

    def _post(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        program, kept, gradients = self._before.pop(id(optimizer), ("", [], True))
        if not program:
            return
        self._stepping.difference_update(id(p) for group in optimizer.param_groups for p in group["params"])
        if not gradients:  # the closure has only now computed them, and its backward names the program
            before_it, program = program, self._program()
            self._rename(optimizer, before_it, program)
            self._read_gradients(optimizer, program)
        for weight, before in kept:
            self.rows.append((RowKey(weight.node, program, "update"), before.change(weight)))

    def _rename(self, optimizer: Optimizer, old: str, new: str) -> None:
        """Puts the weights that were read before a closure under the program in which the rest of its step stands."""
        owned = {id(p) for group in optimizer.param_groups for p in group["params"]}
        nodes = {weight.node for key, weight in self._weights.items() if key in owned}
        for index, (key, row) in enumerate(self.rows):
            if key.quantity == "weight" and key.program == old and key.node in nodes:
                self.rows[index] = RowKey(key.node, new, "weight"), row

    def read_frozen(self, program: str) -> None:
        """Reads the weights that are not trained, which no optimizer's step shows, as rows of ``program``."""
        read = {key.node for key, _ in self.rows if key.quantity == "weight"}
        for weight in self._weights.values():
            if not weight.parameter.requires_grad and weight.node not in read:
                self._reduce(weight, program, "weight", weight.parameter.detach())

    def _read_gradients(self, optimizer: Optimizer, program: str) -> None:
        rest: list[Tensor] = []
        nodes: list[str] = []
        scale = scaling.pending(optimizer)
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None or id(parameter) not in self._parameters:
                    continue
                gradient = sharded.local(parameter.grad.detach())
                gradient = gradient if scale is None else gradient / scale
                weight = self._weights.get(id(parameter))
                if weight is not None:
                    nodes.append(weight.node)
                if weight is None or not self._reduce(weight, program, "weight_gradient", gradient):
                    rest.append(gradient)
        self.stepped.setdefault(program, []).append((optimizer, tuple(nodes)))
        if rest:
            with torch.no_grad():
                self.norms += torch._foreach_norm([(g.coalesce().values() if g.is_sparse else g).float() for g in rest])

    def _keep(self, weight: Weight, program: str) -> Kept:
        """A copy of the weight as it is, made while it is read; on the CPU into memory kept from capture to capture."""
        kept = keeping.room(weight, self._memory.get(id(weight.parameter)))
        if kept.copy.is_cpu:  # fresh memory costs a page fault every 4 KB: as much as the copy
            self._memory[id(weight.parameter)] = kept
        row = kept.keep(weight, read="weight" in self._due(weight))
        if row is not None:
            self.rows.append((RowKey(weight.node, program, "weight"), row))
        return kept

    def _reduce(self, weight: Weight, program: str, quantity: str, value: Tensor) -> bool:
        due = quantity in self._due(weight)
        if due:
            self.rows.append((RowKey(weight.node, program, quantity), weight.rule.reduce(value)))
        return due

    def _due(self, weight: Weight) -> frozenset[str]:
        return self._quantities.get(weight.module, frozenset())
