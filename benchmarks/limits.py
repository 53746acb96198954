"""What capture is measured against: one read of the same tensors, next to nothing a call, growth with the units."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.trainings import Case
from lightning_callbacks import moments
from lightning_callbacks.hooks import Hooks


def against_a_read(case: Case) -> tuple[float, float]:
    """Seconds of our kernels, and of `sum`, over every tensor that a captured step reads."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, batch = case.model(), case.batch()
    tensors: list[Tensor] = []

    def keep(_: nn.Module, __: object, output: Tensor) -> None:
        tensors.append(output.detach().clone())

    leaves = [module for module in model.modules() if not list(module.children())]
    handles = [module.register_forward_hook(keep) for module in leaves]
    model(batch).backward()
    for handle in handles:
        handle.remove()
    outputs = [tensor for tensor in tensors if tensor.ndim > 1]
    weights = [parameter.detach() for parameter in model.parameters() if parameter.ndim > 1]
    copies = [torch.empty_like(weight) for weight in weights]

    def kernels() -> None:
        for output in outputs * 2:  # its gradient is as large
            moments.reduce(output, 1, sampled=True)
        for weight, copied in zip(weights, copies, strict=True):
            cubes = weight.reshape(1, len(weight), -1), copied.view(1, len(weight), -1)
            moments.reduce_keeping(*cubes)
            moments.reduce_change(*cubes)
            moments.reduce(weight, 0, sampled=False)  # its gradient

    def read() -> None:
        for output in outputs * 2:
            output.sum()
        for weight, copied in zip(weights, copies, strict=True):
            weight.sum(), copied.sum(), weight.sum(), weight.sum()  # kept; before and after; gradient

    return _least(kernels), _least(read)


def per_call(calls: int = 100) -> float:
    """Seconds that recording adds to one call of a module, forward and backward, whose tensors are next to nothing."""
    torch.set_num_threads(1)
    model = nn.Sequential(*(nn.Tanh() for _ in range(calls)))
    modules = dict(model.named_children())
    due = dict.fromkeys(modules, frozenset({"activation", "gradient"}))
    x = torch.randn(4, 8, requires_grad=True)

    def plain() -> None:
        model(x).sum().backward()

    def hooked() -> None:
        with Hooks(modules, due=due, axes=dict.fromkeys(modules, -1), failed=_raise) as hooks:
            plain()
        list(hooks.rows())

    return (_least(hooked) - _least(plain)) / calls


def growth(units: tuple[int, ...] = (1024, 4096, 16384)) -> list[float]:
    """Nanoseconds a unit of the statistics of 128 samples, for layers of so many units."""
    torch.set_num_threads(1)
    layers = [torch.randn(128, count) for count in units]
    return [1e9 * _least(partial(moments.reduce, x, 1, sampled=True)) / x.shape[1] for x in layers]


def _raise(error: Exception) -> None:
    raise error


def _least(function: Callable[[], object], repeats: int = 30) -> float:
    """Seconds of the quickest call: what else runs on the machine only ever adds."""
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        function()
        times.append(time.perf_counter() - begun)
    return min(times)
