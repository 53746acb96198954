"""The neuron level over HTTP: deep snapshots, their inputs, and what the worker makes of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dgm_tb.plugin.wire import unpack
from dgm_tb.replay import deep
from dgm_tb.replay.client import Client
from lightning_callbacks.deep import Keeper
from tests.browser.failing import DRIVEN, FAILED, HEAD, write_failing
from tests.callbacks.networks import Mlp
from tests.plugin.client import Tab, open_tab
from tests.replay.steps import two_steps
from tests.store.made import LAYOUT, manifest, snapshot, table, write
from tests.waiting import until

TARGET: dict[str, object] = {"run": "run", "step": 3, "node": "last", "units": "0,2"}


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    logdir = tmp_path_factory.mktemp("logdir")
    session = write(logdir / "run", [manifest(), *(snapshot(step, LAYOUT) for step in range(4)), table(range(4))])
    keeper = Keeper(session, 1 << 30)
    for step in two_steps(Mlp):
        keeper.keep(step.tape, step.tensors, lasting=True)
    (logdir / "plain").mkdir()
    write(logdir / "plain", [manifest(), snapshot(0)])
    made = open_tab(logdir)
    yield made
    made.plugin._desk.worker.close()


def answered(opened: Tab, route: str, **parameters: object) -> Any:
    """What the worker says in the end, asked again and again as the tab does."""

    def ask() -> Any:
        response = opened.get(route, **parameters)
        assert response.status_code == 200, response.text
        if response.headers["Content-Type"] == "application/json":
            found: Any = response.json
            return found if found["state"] != "running" else None
        return response.data

    return until(ask)


def test_deep_steps_are_listed_with_the_losses_and_by_themselves(opened: Tab) -> None:
    _, arrays = opened.arrays("loss", run="run")
    assert arrays["deep"].tolist() == [0, 3]
    found = opened.json("deep", run="run", step=3)
    assert [one["step"] for one in found["deep"]] == [0, 3]
    assert found["contents"]["nodes"] == {"backward#0": ["first", "act", "last"]}
    assert [one["shape"] for one in found["contents"]["inputs"]] == [[6, 6], [6]]
    assert opened.json("deep", run="plain")["deep"] == []


def test_a_batchs_samples_are_sent(opened: Tab) -> None:
    header, arrays = opened.arrays("sample", run="run", step=3, positions="4,1")
    assert (header["batch"], arrays["position"].tolist()) == (6, [4, 1])
    expected = two_steps(Mlp)[1].tensors[header["key"]].numpy()[[4, 1]]
    np.testing.assert_array_equal(arrays["values"], expected)


def test_credit_arrives(opened: Tab) -> None:
    header, arrays = unpack(answered(opened, "credit", **TARGET))
    assert (header["state"], header["previous"], header["program"]) == ("done", 0, "backward#0")
    whole = sum(float(part.sum()) for name, part in arrays.items() if name.split("/")[1] in ("parameters", "inputs"))
    assert whole + header["noise"] + header["discrete"] == pytest.approx(header["after"] - header["before"], abs=1e-3)
    assert arrays["credit/units/act"].shape == (8,)
    assert arrays["credit/samples"].shape == (6,)


@pytest.mark.parametrize("method", ["value", "after"])
def test_other_methods(opened: Tab, method: str) -> None:
    header, arrays = unpack(answered(opened, "credit", **TARGET, method=method))
    assert header["state"] == "done"
    assert arrays["credit/units/last"].shape == (3,)


def test_a_cause_is_tested(opened: Tab) -> None:
    found = answered(opened, "replay", **TARGET, change="clamp", at="last", low=-0.1, high=0.1)
    assert abs(found["target_after"]) <= 0.1 + 1e-6
    assert found["loss_finite_before"] is found["loss_finite_after"] is True
    restored = answered(opened, "replay", **TARGET, change="restore-weights", previous=0)
    assert restored["target_after"] != restored["target_before"]


def test_a_finite_step_has_no_origin(opened: Tab) -> None:
    assert answered(opened, "origin", run="run", step=3)["origin"] is None


@pytest.mark.parametrize(
    ("route", "parameters", "status", "message"),
    [
        ("credit", TARGET | {"step": 2}, 404, "nearest deep snapshots are at steps 0, 3"),
        ("credit", TARGET | {"run": "plain"}, 404, "this run has none"),
        ("credit", TARGET | {"node": "nowhere"}, 404, "not on the tape"),
        ("credit", TARGET | {"step": 0}, 404, "method=value"),
        ("credit", TARGET | {"previous": 3}, 400, "previous=3"),
        ("credit", TARGET | {"method": "guess"}, 400, "method='guess'"),
        ("credit", TARGET | {"units": "1,1"}, 400, "units"),
        ("replay", TARGET | {"change": "explode"}, 400, "change='explode'"),
        ("replay", TARGET | {"change": "clamp", "low": "1e999"}, 400, "low="),
        ("replay", TARGET, 400, "change is missing"),
        ("sample", {"run": "run", "step": 3, "positions": "99"}, 404, "no sample 99"),
        ("sample", {"run": "run", "step": 3, "key": "parameter.first.weight"}, 404, "no tensor of the batch"),
        ("origin", {"run": "run", "step": 1}, 404, "no deep snapshot"),
    ],
)
def test_what_is_wrong_is_named(
    opened: Tab, route: str, parameters: dict[str, object], status: int, message: str
) -> None:
    response = opened.get(route, **parameters)
    assert response.status_code == status
    assert message in response.text


def test_two_tabs_stand_in_line_and_each_has_one_question(opened: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    idle = (sys.executable, "-c", "import sys; [None for _ in sys.stdin]")

    def state(asker: str, unit: int) -> object:
        return opened.json("credit", **TARGET | {"units": str(unit)}, asker=asker)["state"]

    with Client(command=idle) as client:
        monkeypatch.setattr(opened.plugin._desk, "_worker", client)
        assert [state("one", 1), state("other", 2)] == ["running", "waiting"]
        assert [state("one", 1), state("other", 2)] == ["running", "waiting"]
        assert opened.json("replay", **TARGET, change="clamp", low=0, high=1, asker="other")["state"] == "waiting"
        assert opened.json("origin", run="run", step=3, asker="third")["state"] == "waiting"
        assert state("one", 2) == "waiting"  # its first one is given up, and it is the last in line
        assert opened.json("replay", **TARGET, change="clamp", low=0, high=1, asker="other")["state"] == "running"


def test_where_values_cease_to_be_finite_is_told_with_who_drove_them_there(tmp_path: Path) -> None:
    write_failing(tmp_path / "failing")
    made = open_tab(tmp_path)
    found = answered(made, "origin", run="failing", step=FAILED)["origin"]
    assert (found["op"], found["driver"]["node"], found["driver"]["units"]) == ("exp", HEAD, [DRIVEN])
    made.plugin._desk.worker.close()


def test_what_the_worker_refuses_is_said(opened: Tab) -> None:
    found = answered(opened, "credit", **TARGET | {"units": "99"})
    assert found["state"] == "failed"
    assert "no unit 99" in found["message"]


def test_a_tape_with_a_forbidden_op_is_a_409(opened: Tab, tmp_path: Path) -> None:
    session = write(tmp_path / "run", [manifest(), snapshot(0)])
    step = two_steps(Mlp)[0]
    Keeper(session, 1 << 30).keep(step.tape, step.tensors, lasting=True)
    tape = deep.listing(session)[0].path / deep.TAPE
    tape.write_bytes(tape.read_bytes().replace(b"aten.relu.default", b"aten.from_file.default"))
    status, text = open_tab(tmp_path).refusal("deep", run="run", step=0)
    assert status == 409
    assert "not among the ops" in text
