"""The arguments of an ATen call, as a tape writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from dgm_tb.replay import tape as tapes
from dgm_tb.replay.tape import Json

#: What an argument may be.
_WORDS: Final = (
    Tensor, bool, int, float, complex, str, type(None), torch.dtype, torch.layout, torch.memory_format, torch.device,
    torch.Generator,
)  # fmt: skip


def strange(arguments: Any) -> str:
    """The type of an argument that a tape has no word for; empty where there is none."""
    return next((type(leaf).__name__ for leaf in tree_leaves(arguments) if not isinstance(leaf, _WORDS)), "")


def encode(argument: Any, number: Callable[[Tensor], int]) -> Any:
    """An argument as `Json`, its tensors as the values that ``number`` says; None for what is `strange`."""
    if isinstance(argument, Tensor):
        return tapes.value(number(argument))
    if argument is None or isinstance(argument, bool | int | str):
        return argument
    if isinstance(argument, float):
        return tapes.number(argument)
    if isinstance(argument, list | tuple):
        return [encode(item, number) for item in argument]
    if isinstance(argument, dict):
        return {name: encode(item, number) for name, item in argument.items()}
    if isinstance(argument, complex):
        return {"complex": [argument.real, argument.imag]}
    if isinstance(argument, torch.dtype | torch.layout | torch.memory_format):
        return {type(argument).__name__: str(argument).removeprefix("torch.")}
    if isinstance(argument, torch.device):
        return {"device": "cpu"}  # where it is run again
    return None  # a generator, too: what was drawn is kept


def tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def written(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    """The arguments, encoded or not, that an op changes in place."""
    if not func._schema.is_mutable:
        return []
    named = _named(func, args) | dict(kwargs)
    return [
        named.get(argument.name)
        for argument in func._schema.arguments
        if argument.alias_info is not None and argument.alias_info.is_write
    ]


def draws(func: Any, args: Sequence[Json], kwargs: Mapping[str, Json]) -> bool:
    """Whether an op is random this time: attention without dropout is not."""
    if torch.Tag.nondeterministic_seeded not in func.tags:
        return False
    defaults = {argument.name: argument.default_value for argument in func._schema.arguments}
    probability = (defaults | _named(func, args) | dict(kwargs)).get("dropout_p")
    return probability is None or probability != 0


def _named(func: Any, args: Sequence[Any]) -> dict[str, Any]:
    return {argument.name: value for argument, value in zip(func._schema.arguments, args, strict=False)}
