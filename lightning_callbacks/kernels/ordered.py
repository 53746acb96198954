"""Floats as integers that are ordered like them: LLVM vectorises the least and the greatest only of integers.

IEEE 754 floats of one sign are ordered like their bits, the negative ones backwards. Of floats it vectorises neither
without the assumption that there is no NaN, which would be wrong here; NaN is the greatest or least integer of all.
"""

from __future__ import annotations

from typing import Any, Final

from numba import types
from numba.extending import intrinsic

_INTEGERS: Final = {types.float32: types.int32, types.float64: types.int64}
_FLOATS: Final = {integer: floating for floating, integer in _INTEGERS.items()}


@intrinsic  # type: ignore[untyped-decorator]  # numba publishes no types
def ordered(typing_context: Any, value: Any) -> Any:
    """The integer of a float; as wide as it is."""
    result = _INTEGERS[value]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _turned(builder, builder.bitcast(arguments[0], context.get_value_type(result)), result.bitwidth)

    return result(value), generate


@intrinsic  # type: ignore[untyped-decorator]  # numba publishes no types
def floating(typing_context: Any, value: Any) -> Any:
    """The float of an integer that `ordered` made."""
    result = _FLOATS[value]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(_turned(builder, arguments[0], value.bitwidth), context.get_value_type(result))

    return result(value), generate


def _turned(builder: Any, bits: Any, width: int) -> Any:
    """All bits but the sign inverted where it is set; its own inverse."""
    sign = builder.ashr(bits, bits.type(width - 1))
    return builder.xor(bits, builder.and_(sign, bits.type(2 ** (width - 1) - 1)))
