"""The arguments of an ATen call, as a tape writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from dgm_tb.replay import tape as tapes

#: What an argument may be.
_WORDS: Final = (
    Tensor, bool, int, float, complex, str, type(None), torch.dtype, torch.layout, torch.memory_format, torch.device,
    torch.Generator,
)  # fmt: skip

#: Seeded ops whose result depends on their inputs too, and that do not say what they drew: a result kept as a constant
#: would cut the inputs off. (Attention and recurrent layers only where they do draw.)
OPAQUE: Final = frozenset(
    {
        "_standard_gamma",
        "_sample_dirichlet",
        "_scaled_dot_product_flash_attention",
        "_scaled_dot_product_efficient_attention",
        "_scaled_dot_product_cudnn_attention",
        "_scaled_dot_product_flash_attention_for_cpu",
    }
)


def leaves(tree: Any) -> Iterator[Any]:
    """What lies in lists, tuples and dicts: ATen's arguments and results nest nothing else."""
    if isinstance(tree, list | tuple):
        for item in tree:
            yield from leaves(item)
    elif isinstance(tree, dict):
        for item in tree.values():
            yield from leaves(item)
    else:
        yield tree


def strange(arguments: Iterable[Any]) -> str:
    """The type of the first argument, lists taken apart, that a tape has no word for; empty where there is none."""
    return next((type(leaf).__name__ for leaf in arguments if not isinstance(leaf, _WORDS)), "")


def encode(argument: Any, number: Callable[[Tensor], int]) -> Any:
    """An argument as JSON (`tapes.Json`), tensors as the values that ``number`` says; None for what is `strange`."""
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
    return [leaf for leaf in leaves(tree) if isinstance(leaf, Tensor)]


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


def draws(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether an op is random this time: attention without dropout is not, nor what is not in training."""
    if torch.Tag.nondeterministic_seeded not in func.tags:
        return False
    defaults = {argument.name: argument.default_value for argument in func._schema.arguments}
    found = defaults | _named(func, args) | dict(kwargs)
    return found.get("dropout_p") != 0 and found.get("training") is not False and found.get("train") is not False


def _named(func: Any, args: Sequence[Any]) -> dict[str, Any]:
    return {argument.name: value for argument, value in zip(func._schema.arguments, args, strict=False)}
