"""The demo, trained for real: it fails by itself, its twin does not, and the recording names the failing head first."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import dgm_tb
from dgm_tb.queries import layer
from dgm_tb.run import RunView
from dgm_tb.store.run import Run
from tests.conftest import Demo, run_demo
from tests.spike import jumps, positions_before, spike_step
from tests.waiting import until

# The first test here pays for the session's training.
pytestmark = pytest.mark.timeout(600)

HEAD = "encoder.variance2"
#: exp() of a float32 overflows above this.
OVERFLOW = 88.7


@pytest.fixture(scope="module")
def failing(demo: Demo) -> Iterator[RunView]:
    with dgm_tb.open_run(demo.logdir / "unclamped") as run:
        yield run


@pytest.fixture(scope="module")
def healthy(demo: Demo) -> Iterator[RunView]:
    with dgm_tb.open_run(demo.logdir / "clamped") as run:
        yield run


def losses(run: RunView) -> NDArray[np.float64]:
    return np.asarray(run.losses.values[run.losses.columns.index("loss")])


def test_the_failing_run_ends_by_itself_in_nan(failing: RunView, demo: Demo) -> None:
    loss = losses(failing)
    assert np.isnan(loss[-1])
    assert np.isfinite(loss[:-3]).all()  # infinity may come first
    assert len(loss) > 500
    assert "by itself" in demo.said


def test_before_that_it_learned(failing: RunView) -> None:
    loss = losses(failing)
    assert np.median(loss[-200:-100]) < 0.5 * np.median(loss[:20])


def test_the_healthy_twin_outlives_it_and_stays_calm(failing: RunView, healthy: RunView) -> None:
    lived, loss = len(losses(failing)), losses(healthy)
    assert np.isfinite(loss).all()
    assert len(loss) > 1.1 * lived
    assert loss[lived - 100 :].max() < 3 * np.median(loss[lived - 400 : lived - 100])
    assert np.median(loss[-100:]) < 1.5 * np.median(losses(failing)[-300:-100])


def test_the_overflow_is_in_the_head_that_is_called_failing(failing: RunView) -> None:
    last = failing.losses.steps[np.flatnonzero(~np.isfinite(losses(failing)))[0]]
    largest = {
        node: np.nanmax(failing.series(node, "activation", "max", steps=[last]))
        for node in ("encoder.variance1", "encoder.variance2")
    }
    assert largest[HEAD] > OVERFLOW
    assert largest["encoder.variance1"] < OVERFLOW


def test_the_failing_head_jumps_most_at_the_spike(failing: RunView) -> None:
    focus = spike_step(failing)
    steps = failing.steps[positions_before(failing, focus)]
    nodes = [node.name for node in failing.nodes if "activation" in node.quantities]
    scores = jumps([failing.series(name, "activation", steps=steps) for name in nodes])
    ranked = sorted(zip(scores, nodes, strict=True), reverse=True)
    assert ranked[0][1] == HEAD, ranked[:3]
    print("jump scores at the spike:", ", ".join(f"{name} {score:.0f}" for score, name in ranked[:4]))


def test_most_of_the_units_that_moved_most_are_drawn(demo: Demo, failing: RunView) -> None:
    """300 of 512 units are drawn, considering first what jumps; a blind choice would catch 6 of the 10."""
    focus = spike_step(failing)
    before = failing.steps[positions_before(failing, focus)[-2:]]
    moved = np.abs(np.diff(failing.series(HEAD, "activation", steps=before), axis=0))[0]
    top = set(np.argsort(-moved)[:10].tolist())
    request = layer.Request(run="unclamped", node=HEAD, focus=focus, m=300)
    with Run(demo.logdir / "unclamped") as run:
        view = layer.answer(run, request)
    drawn = top & set(view.unit.tolist())
    print(f"{len(drawn)} of the 10 units that moved most are among the {len(view.unit)} drawn lines")
    assert len(view.unit) == 300
    assert int(np.argmax(moved)) in drawn
    assert len(drawn) >= 7


def test_everything_that_was_captured_reads_back(failing: RunView) -> None:
    assert not failing.problems
    assert failing.steps[0] == 0
    names = {node.name for node in failing.nodes}
    assert {"encoder.conv1", "encoder.mean1", "encoder.sampler2", HEAD, "decoder.deconv4"} <= names
    assert failing.graph is not None
    edges = {(edge.source, edge.target) for edge in failing.graph.edges}
    assert {("encoder.variance2", "encoder.sampler2"), ("encoder.sampler2", "decoder.deconv1")} <= edges
    assert {"loss", "reconstruction", "kl"} <= set(failing.losses.columns)


def test_a_second_call_is_quick_and_trains_nothing(demo: Demo) -> None:
    note = demo.logdir / "unclamped" / "demo.json"
    written = note.stat().st_mtime_ns
    assert run_demo("--logdir", str(demo.logdir), "--no-serve").count("finished before") == 2
    assert note.stat().st_mtime_ns == written


def test_a_directory_that_is_not_the_demos_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "unclamped").mkdir()
    command = [
        str(Path(sys.executable).with_name("dgm-tb")),
        "demo",
        "--logdir",
        str(tmp_path),
        "--fresh",
        "--port",
        "0",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "choose another directory with --logdir" in " ".join(done.stdout.split())
    assert "http" not in done.stdout
    assert list(tmp_path.iterdir()) == [tmp_path / "unclamped"]


def test_ctrl_c_ends_server_and_training_and_leaves_a_readable_run(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("dgm-tb")), "demo", "--logdir", str(tmp_path), "--port", "0"]
    said = tmp_path / "said"
    with said.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        until(lambda: re.search(r"http://\S+:\d+/#dgm", said.read_text()), seconds=120)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
    assert "Traceback" not in said.read_text()
    alive = subprocess.check_output(["ps", "-eo", "args"], text=True).splitlines()
    assert [line for line in alive if str(tmp_path) in line] == []
    with dgm_tb.open_run(tmp_path / "unclamped") as run:
        assert len(run.steps) > 0
