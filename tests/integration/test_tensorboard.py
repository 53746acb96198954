"""The plugin inside a real TensorBoard: found, listed, answering, under every way of starting it that we know."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from dgm_tb.plugin.app import QUESTIONS
from dgm_tb.plugin.entry import DgmLoader
from dgm_tb.store.writer import RunWriter, new_session
from tests import synthetic
from tests.integration.server import TensorBoard, tensorboard
from tests.synthetic import EVERY, SPIKE_NODE, Shape
from tests.waiting import until

SHAPE = Shape(width=32, snapshots=60)
PREFIX = "data/plugin/dgm"


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    logdir = tmp_path_factory.mktemp("logs")
    synthetic.write_run(logdir / "vae" / "version_0", SHAPE)
    return logdir


@pytest.fixture(scope="module")
def server(logdir: Path) -> Iterator[TensorBoard]:
    with tensorboard("--logdir", str(logdir)) as server:
        yield server


def answers(server: TensorBoard, run: str) -> None:
    """Every question about ``run`` has an answer, and the tab is enabled."""
    listing = until(lambda: (found := server.json("data/plugins_listing"))["dgm"]["enabled"] and found)
    assert listing["dgm"]["loading_mechanism"]["module_path"].endswith("/data/plugin/dgm/static/index.js")
    (summary,) = (entry for entry in server.json(f"{PREFIX}/runs")["runs"] if entry["name"] == run)
    assert (summary["snapshots"], summary["state"]) == (SHAPE.snapshots, "ended")
    more: dict[str, dict[str, object]] = {"neuron": {"units": "3,7"}}
    for noun in QUESTIONS:
        row = {"node": SPIKE_NODE} if noun in ("layer", "density", "neuron") else {}
        status, content_type, body = server.get(f"{PREFIX}/{noun}", run=run, **row, **more.get(noun, {}))
        assert status == 200, body
        assert content_type == ("application/json" if noun == "graph" else "application/octet-stream")


def test_the_entry_point_is_the_light_loader() -> None:
    (entry,) = metadata.entry_points(group="tensorboard_plugins", name="dgm")
    assert entry.load() is DgmLoader


def test_all_routes_answer(server: TensorBoard) -> None:
    answers(server, "vae/version_0")


def test_the_walk_from_loss_to_unit_works_over_http(server: TensorBoard) -> None:
    spike = SHAPE.spike * EVERY
    header, arrays = server.arrays(f"{PREFIX}/aggregates", run="vae/version_0", focus=spike, statistic="max")
    assert header["nodes"][int(np.nanargmax(arrays["score"]))] == SPIKE_NODE
    _, lines = server.arrays(f"{PREFIX}/layer", run="vae/version_0", node=SPIKE_NODE, focus=spike, m=20)
    assert set(lines["unit"][np.argsort(-lines["score"])][:3]) == set(synthetic.JUMPERS)


def test_refusals_are_plain_sentences(server: TensorBoard) -> None:
    for noun, parameters, code in (
        ("layer", {"run": "vae/version_0", "node": SPIKE_NODE, "m": "x"}, 400),
        ("layer", {"run": "nope", "node": SPIKE_NODE}, 404),
        ("static/../app.py", {}, 404),
    ):
        status, content_type, body = server.get(f"{PREFIX}/{noun}", **parameters)
        assert (status, content_type) == (code, "text/plain; charset=utf-8")
        assert b"Traceback" not in body


def test_the_frame_loads_the_bundle(server: TensorBoard) -> None:
    _, _, page = server.get("data/plugin_entry.html", name="dgm")
    assert b'<base href="plugin/dgm/" />' in page
    assert b'import("./static/index.js")' in page
    status, content_type, body = server.get(f"{PREFIX}/static/index.js")
    assert (status, content_type) == (200, "text/javascript; charset=utf-8")
    assert b"render" in body


def test_under_a_path_prefix(logdir: Path) -> None:
    with tensorboard("--logdir", str(logdir), "--path_prefix", "/a/tb") as server:
        assert server.address is not None
        assert server.address.endswith("/a/tb/")
        answers(server, "vae/version_0")


def test_without_the_data_server(logdir: Path) -> None:
    with tensorboard("--logdir", str(logdir / "vae"), "--load_fast=false") as server:
        answers(server, "version_0")


def test_under_a_logdir_specification(logdir: Path) -> None:
    with tensorboard("--logdir_spec", f"first:{logdir},second:{logdir}/vae") as server:
        answers(server, "first/vae/version_0")
        assert "second/version_0" in {run["name"] for run in server.json(f"{PREFIX}/runs")["runs"]}


def test_the_run_itself_may_be_the_logdir(logdir: Path) -> None:
    with tensorboard("--logdir", ".", home=logdir / "vae" / "version_0") as server:
        answers(server, ".")


def test_a_growing_run_is_followed(tmp_path: Path) -> None:
    """Started before there is anything: the tab becomes active, then snapshots arrive without a restart or reload."""
    (tmp_path / "logs").mkdir()
    with tensorboard("--logdir", str(tmp_path / "logs")) as server:
        assert not server.json("data/plugins_listing")["dgm"]["enabled"]
        assert server.json(f"{PREFIX}/runs")["runs"] == []
        with RunWriter(tmp_path / "logs" / "a" / "plugins" / "dgm", session=new_session()) as writer:
            dynamics = synthetic.begin(writer, SHAPE)
            synthetic.append(writer, dynamics, 0)
            until(lambda: server.json("data/plugins_listing")["dgm"]["enabled"])
            cursor = server.json(f"{PREFIX}/runs")["cursor"]
            for index in range(1, 4):
                synthetic.append(writer, dynamics, index)
                cursor = until(lambda: cursor_at(server, index * EVERY, cursor))  # noqa: B023 - called at once
            header, arrays = server.arrays(f"{PREFIX}/layer", run="a", node=SPIKE_NODE)
            assert header["focus"] == 3 * EVERY
            assert arrays["step"].tolist() == [0, 10, 20, 30]
        (run,) = until(lambda: server.json(f"{PREFIX}/runs", since=cursor)["runs"])
        assert run["state"] == "ended"


def cursor_at(server: TensorBoard, step: int, since: str) -> str | None:
    """The cursor of a reply in which a run's newest snapshot is at ``step``."""
    reply = server.json(f"{PREFIX}/runs", since=since)
    return reply["cursor"] if [run["last_step"] for run in reply["runs"]] == [step] else None
