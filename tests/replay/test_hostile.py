"""Whatever a tape says, the worker answers: a number or a sentence, within its memory, and it lives on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dgm_tb.errors import DgmError, UsageError
from dgm_tb.replay import deep
from dgm_tb.replay.ask import Asked, CreditAsked, OriginAsked, Target
from dgm_tb.replay.client import Client
from dgm_tb.replay.credit import Step
from dgm_tb.replay.machine import Machine
from dgm_tb.replay.tape import dump, load
from lightning_callbacks.deep import Keeper
from tests.callbacks.networks import Mlp
from tests.replay.steps import two_steps

PROGRAM = "backward#0"
STEP = two_steps(Mlp)[1]
Edit = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with Client(memory=2 << 30) as made:
        yield made


def first(tape: dict[str, Any], name: str) -> dict[str, Any]:
    return next(op for op in tape["ops"] if op["name"].startswith(name))


def _becomes(name: str, args: list[Any]) -> Edit:
    """The ReLU becomes another op on the same value, and its result is what it is."""

    def edit(tape: dict[str, Any]) -> None:
        op = first(tape, "aten.relu.")
        op["name"] = name
        op["args"] = [op["args"][0] if argument is ... else argument for argument in args]

    return edit


def _input_is(dtype: str) -> Edit:
    def edit(tape: dict[str, Any]) -> None:
        next(source for source in tape["sources"] if source["kind"] == "parameter")["dtype"] = dtype

    return edit


HUGE = 1 << 40
HOSTILE: dict[str, Edit] = {
    "more than all memory": _becomes("aten.full.default", [[HUGE], 1.0]),
    "as much as it may, many times": _becomes("aten.repeat.default", [..., [1 << 14, 1 << 14]]),
    "more elements than there are numbers": _becomes("aten.expand.default", [..., [1 << 62, 1 << 62, 6, 8]]),
    "a product of sizes that wraps around": _becomes("aten.zeros.default", [[1 << 33, 1 << 33]]),
    "negative sizes": _becomes("aten.full.default", [[-5], 1.0]),
    "strides out of bounds": _becomes("aten.as_strided.default", [..., [1 << 20], [1 << 20], 0]),
    "strides before the begin": _becomes("aten.as_strided.default", [..., [4], [1], -64]),
    "negative strides": _becomes("aten.as_strided.default", [..., [4], [-1], 0]),
    "an offset far away": _becomes("aten.as_strided.default", [..., [4], [1], 1 << 50]),
    "another number of arguments": _becomes("aten.relu.default", [..., ..., ...]),
    "an index beyond": _becomes("aten.select.int", [..., 0, 1 << 40]),
    "an axis beyond": _becomes("aten.softmax.int", [..., 99, None]),
    "words for numbers": _becomes("aten.add.Tensor", [..., "all"]),
    "a float that is none": _becomes("aten.add.Tensor", [..., {"float": "many"}]),
    "a type that is none": _becomes("aten._to_copy.default", [..., {"dtype": "save"}]),
    "a module as a type": _becomes("aten._to_copy.default", [..., {"dtype": "nn"}]),
    "a complex number of three parts": _becomes("aten.add.Tensor", [..., {"complex": [1, 2, 3]}]),
    "an empty range that never ends": _becomes("aten.arange.start_step", [0, 1e18, 1e-9]),
    "whole numbers that need a gradient": _becomes("aten.argmax.default", [...]),
    "a stranger's dtype": _input_is("int64"),
    "no dtype": _input_is("os.system"),
    "negative kernels": _becomes("aten.unfold.default", [..., 1, -4, 1]),
    "a step of nothing": _becomes("aten.slice.Tensor", [..., 0, 0, 4, 0]),
    "fixed outputs that are not there": lambda tape: first(tape, "aten.relu.").update(fixed=[0, 1, 2]),
    "writes to what it does not change": lambda tape: first(tape, "aten.relu.").update(writes=[0, 1, 2]),
    "outputs that it does not make": lambda tape: first(tape, "aten.addmm.").update(outputs=[None]),
    "a loss that is no number": lambda tape: tape["programs"][0].update(
        loss=first(tape, "aten.relu.")["outputs"][0], at=len(tape["ops"])
    ),
}


@pytest.mark.parametrize("edit", HOSTILE.values(), ids=HOSTILE)
def test_the_worker_answers_a_hostile_tape_and_lives(edit: Edit, client: Client, tmp_path: Path) -> None:
    Keeper(tmp_path, 1 << 30).keep(STEP.tape, STEP.tensors, lasting=True)
    (found,) = deep.listing(tmp_path)
    content = json.loads((found.path / deep.TAPE).read_bytes())
    edit(content)
    (found.path / deep.TAPE).write_text(json.dumps(content))
    client.wait(_harmless(tmp_path / "other"))  # it has begun
    process = client._process
    for asked in (
        OriginAsked(str(found.path), PROGRAM),
        CreditAsked(Target("last", PROGRAM, (0,)), str(found.path), method="value"),
    ):
        said = _said(client, asked)
        assert said is None or len(said) > 10
        assert said is None or "ended" not in said
    assert client.wait(_harmless(tmp_path / "other")).state == "done"
    assert client._process is process


def _said(client: Client, asked: Asked) -> str | None:
    """Why it is refused; None where it is answered."""
    try:
        client.wait(asked, key=os.urandom(4))
    except UsageError as refused:
        return str(refused)
    return None


def _harmless(folder: Path) -> OriginAsked:
    if not folder.exists():
        folder.mkdir(parents=True)
        Keeper(folder, 1 << 30).keep(STEP.tape, STEP.tensors, lasting=True)
    return OriginAsked(str(deep.listing(folder)[0].path), PROGRAM)


_numbers = st.integers(-9, 9) | st.sampled_from([1 << 31, 1 << 62, -(1 << 63)]) | st.floats(allow_nan=False)
_plain = _numbers | st.none() | st.booleans() | st.sampled_from([{"value": 0}, {"value": 3}, {"dtype": "int64"}, "sum"])
_arguments = _plain | st.lists(_plain | st.lists(_plain, max_size=2), max_size=3)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    at=st.integers(0, len(STEP.tape.ops) - 1),
    name=st.sampled_from(
        [
            "aten.as_strided.default", "aten.gather.default", "aten.index_select.default", "aten.view.default",
            "aten.scatter.value", "aten.select.int", "aten.slice.Tensor", "aten.mm.default", "aten.cat.default",
            "aten.native_batch_norm.default", "aten.convolution.default", "aten.embedding.default",
            "aten.max_pool2d_with_indices.default", "aten.native_dropout.default", "aten.topk.default",
        ]
    ),
    args=st.lists(_arguments, max_size=5),
)  # fmt: skip
def test_any_arguments_are_run_or_refused(at: int, name: str, args: list[Any]) -> None:
    content = json.loads(dump(STEP.tape))
    content["ops"][at].update(name=name, args=args)
    with suppress(DgmError):  # anything else is a failure
        step = Step(load(json.dumps(content).encode()), STEP.tensors)
        machine = Machine(step.tape)
        program = step.tape.programs[0]
        machine.run(machine.sources(step.tensors), [(program.loss, program.at)])
