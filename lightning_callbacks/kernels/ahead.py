"""Asking for memory before it is read.

The processor guesses by itself what is read next, but not beyond a page (1,024 floats), which is about one unit of a
weight: without this a pass over weights that lie in no cache waits at every unit's start.
"""

from __future__ import annotations

from typing import Any, Final

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

#: Bytes that are fetched at once.
LINE: Final = 64


@intrinsic  # type: ignore[untyped-decorator]  # numba publishes no types
def fetch(typing_context: Any, run: Any) -> Any:
    """Starts bringing a contiguous array to the cache, without waiting for it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        prefetch = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [byte, number, number, number]), "llvm.prefetch.p0"
        )
        begin, size = builder.bitcast(array.data, byte), builder.mul(array.nitems, array.itemsize)
        steps = size.type(0), size, size.type(LINE)
        with cgutils.for_range_slice(builder, *steps, intp=size.type) as (offset, _):
            builder.call(prefetch, [builder.gep(begin, [offset]), number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.none(run), generate
