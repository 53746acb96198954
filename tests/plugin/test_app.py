from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dgm_tb.errors import FormatError
from dgm_tb.plugin.params import PARAMETERS
from dgm_tb.queries import layer
from dgm_tb.records import RowKey
from dgm_tb.store import catalog
from dgm_tb.store.writer import RunWriter, new_session
from tests import synthetic
from tests.plugin.client import Tab, open_tab
from tests.queries.recorded import SHAPE, Recorded, record
from tests.synthetic import EVERY, JUMPERS, SPIKE_NODE
from tests.waiting import until

RUN = "vae/version_0"
#: A good question of each route about one run.
GOOD: dict[str, dict[str, object]] = {
    "loss": {"run": RUN},
    "graph": {"run": RUN},
    "aggregates": {"run": RUN},
    "layer": {"run": RUN, "node": SPIKE_NODE},
    "density": {"run": RUN, "node": SPIKE_NODE},
    "neuron": {"run": RUN, "node": SPIKE_NODE, "units": "3,7,11"},
}


def test_runs_lists_what_was_recorded(tab: Tab, logdir: Path) -> None:
    reply = tab.json("runs")
    assert reply["logdir"] == str(logdir)
    (run,) = reply["runs"]
    last = (SHAPE.snapshots - 1) * EVERY
    assert (run["name"], run["state"], run["reason"], run["problems"]) == (RUN, "ended", "finished", [])
    assert (run["snapshots"], run["first_step"], run["last_step"]) == (SHAPE.snapshots, 0, last)
    assert run["losses"] == last + 1
    assert tab.json("runs", since=reply["cursor"])["runs"] == []


def test_loss_is_binary_with_every_step(tab: Tab, recorded: Recorded) -> None:
    header, arrays = tab.arrays("loss", **GOOD["loss"])
    assert header["columns"][0] == "loss"
    assert arrays["values"].shape == arrays["logged"].shape == (len(header["columns"]), len(arrays["step"]))
    np.testing.assert_array_equal(arrays["snapshots"], recorded.steps)
    assert arrays["step"].dtype == np.float64
    assert arrays["logged"].dtype == np.uint8


def test_graph_is_json_with_the_documented_keys(tab: Tab) -> None:
    reply = tab.json("graph", **GOOD["graph"])
    assert set(reply) == {"id", "step", "nodes", "edges", "groups", "programs"}
    assert set(reply["nodes"][0]) == {
        "name", "module_type", "group", "units", "programs", "quantities", "parameters", "shape", "calls", "kind",
        "role",
    }  # fmt: skip
    assert set(reply["edges"][0]) == {"source", "target", "back"}
    assert set(reply["groups"][0]) == {"name", "module_type", "parent"}


def test_one_walks_from_the_spike_to_the_units_behind_it(tab: Tab, recorded: Recorded) -> None:
    """The main job: loss → node → layer → unit, over HTTP."""
    _, loss = tab.arrays("loss", run=RUN)
    captured = np.isin(loss["step"], loss["snapshots"])
    spike = int(loss["step"][captured][np.nanargmax(np.diff(loss["values"][0][captured])) + 1])
    assert spike == SHAPE.spike * EVERY

    header, aggregates = tab.arrays("aggregates", run=RUN, focus=spike, statistic="max")
    node = header["nodes"][int(np.nanargmax(aggregates["score"]))]
    assert node == SPIKE_NODE

    _, lines = tab.arrays("layer", run=RUN, node=node, focus=spike, m=20)
    movers = lines["unit"][np.argsort(-lines["score"])][: len(JUMPERS)]
    assert set(movers) == set(JUMPERS)

    header, series = tab.arrays("neuron", run=RUN, node=node, units=",".join(map(str, movers)))
    key = RowKey(node, "backward#0", "activation")
    expected = recorded.series(key, "mean")[movers]
    np.testing.assert_array_equal(series["values"][:, header["statistics"].index("mean")], expected)


@pytest.mark.parametrize("noun", ["aggregates", "layer", "density", "neuron"])
def test_a_range_of_steps_comes_whole(tab: Tab, recorded: Recorded, noun: str) -> None:
    header, arrays = tab.arrays(noun, **GOOD[noun], first=0, last=int(recorded.steps[-1]))
    assert (header["level"], header["each"]) == (0, 1)
    np.testing.assert_array_equal(arrays["step"], recorded.steps)
    header, arrays = tab.arrays(noun, **GOOD[noun], first=15, last=42)
    assert arrays["step"].tolist() == [20, 30, 40]


@pytest.mark.parametrize("noun", ["aggregates", "layer", "density", "neuron"])
@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"first": 3}, "last is missing; first= needs last="),
        ({"last": 3}, "first is missing; last= needs first="),
        ({"first": 4, "last": 3}, "first=4 cannot be used; allowed: a step up to last=3"),
    ],
)
def test_half_a_range_or_an_empty_one_is_refused(tab: Tab, noun: str, given: dict[str, object], says: str) -> None:
    status, text = tab.refusal(noun, **GOOD[noun] | given)
    assert status == 400
    assert says in text


def test_density_is_an_image_of_the_asked_size(tab: Tab) -> None:
    header, arrays = tab.arrays("density", **GOOD["density"], width=100, height=50)
    assert arrays["density"].shape == (50, 100)
    assert header["low"] < header["high"]
    assert header["scale"] == "symlog"
    assert header["linear_threshold"] > 0


@pytest.mark.parametrize("noun", GOOD)
def test_an_unknown_run_is_a_404(tab: Tab, noun: str) -> None:
    status, text = tab.refusal(noun, **GOOD[noun] | {"run": "../vae"})
    assert status == 404
    assert "there is no run '../vae'" in text


@pytest.mark.parametrize("noun", ["layer", "density", "neuron"])
@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"node": "encoder.varianse"}, f"did you mean '{SPIKE_NODE}'?"),
        ({"program": "backward#7"}, "program 'backward#7' has no activation"),
        ({"node": "encoder.blocks.0.act", "quantity": "weight"}, "quantity weight was not recorded of node"),
    ],
)
def test_what_was_not_recorded_is_a_404(tab: Tab, noun: str, changed: dict[str, object], says: str) -> None:
    status, text = tab.refusal(noun, **GOOD[noun] | changed)
    assert status == 404
    assert says in text


BAD = [
    ("m", "19"), ("m", "2001"), ("scale", "log"), ("statistic", "median"), ("quantity", "bias"), ("window", "0"),
    ("window", "1001"), ("focus", "-1"), ("focus", "nan"), ("width", "99999"), ("height", "x"), ("units", "1,1"),
    ("units", ",".join(map(str, range(257)))), ("since", "1.5"), ("run", ""), ("node", "n" * 2000), ("foo", "1"),
]  # fmt: skip


@pytest.mark.parametrize("noun", GOOD)
@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_wrong_parameter_is_a_400_that_names_it(tab: Tab, noun: str, name: str, value: str) -> None:
    status, text = tab.refusal(noun, **GOOD[noun] | {name: value})
    assert status == 400
    assert name in text
    assert "Traceback" not in text


@pytest.mark.parametrize("noun", GOOD)
def test_a_missing_parameter_is_a_400_that_names_it(tab: Tab, noun: str) -> None:
    for name in GOOD[noun]:
        status, text = tab.refusal(noun, **{key: value for key, value in GOOD[noun].items() if key != name})
        assert status == 400
        assert f"{name} is missing" in text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_but_get_is_answered(tab: Tab, method: str) -> None:
    for noun in ("runs", "layer", "static/index.js"):
        response = tab.client.open(f"/data/plugin/dgm/{noun}", method=method)
        assert response.status_code == 405
        assert response.headers["Allow"] == "GET, HEAD"


def test_a_bug_is_logged_and_told_without_a_traceback(
    tab: Tab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(layer, "answer", broken)
    with caplog.at_level(logging.ERROR):
        status, text = tab.refusal("layer", **GOOD["layer"])
    assert status == 500
    assert "secret" not in text
    assert "log of the TensorBoard server" in text
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("error", [FormatError("bad bytes"), PermissionError("not yours"), FileNotFoundError("gone")])
def test_files_that_cannot_be_read_are_a_409_that_says_why(
    tab: Tab, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def unreadable(*_: object) -> None:
        raise error

    monkeypatch.setattr(layer, "answer", unreadable)
    assert tab.refusal("layer", **GOOD["layer"]) == (409, f"Cannot be read: {error}")


names = st.sampled_from(sorted({name for converters in PARAMETERS.values() for name in converters}))
WORDS = f"0 1 300 -1 590 {10**20} 1,2 mean nonfinite activation gradient symlog robust linear backward#0 decoder.fc"
likely = st.sampled_from(["", RUN, SPIKE_NODE, *WORDS.split()])
values = st.one_of(likely, st.text(max_size=12), st.integers().map(str))
wild = st.lists(st.tuples(st.one_of(names, st.text(max_size=8)), values), max_size=6)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["runs", *GOOD]), st.booleans(), wild)
def test_no_query_string_is_answered_with_anything_else(
    tab: Tab, noun: str, sensible: bool, pairs: list[tuple[str, str]]
) -> None:
    good = {**GOOD.get(noun, {})} if sensible else {}
    for name, _ in pairs:
        good.pop(name, None)
    query = urlencode([*good.items(), *pairs], errors="replace")
    response = tab.client.get(f"/data/plugin/dgm/{noun}?{query}")
    assert response.status_code in (200, 400, 404), (query, response.text)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(["runs", *GOOD]), st.text(st.characters(max_codepoint=126, min_codepoint=33), max_size=40))
def test_no_raw_query_is_answered_with_anything_else(tab: Tab, noun: str, raw: str) -> None:
    response = tab.client.get(f"/data/plugin/dgm/{noun}?{raw}")
    assert response.status_code in (200, 400, 404), response.text


def test_head_has_no_body(tab: Tab) -> None:
    response = tab.client.head("/data/plugin/dgm/runs")
    assert response.status_code == 200
    assert response.get_data() == b""


def test_listing_shows_the_tab_and_asks_only_a_cached_flag(tab: Tab) -> None:
    until(tab.plugin.is_active)
    assert "dgm" in tab.plugin.data_plugin_names()
    listing = tab.client.get("/data/plugins_listing").json
    assert listing is not None
    assert listing["dgm"]["enabled"]
    assert listing["dgm"]["tab_name"] == "DGM"
    assert listing["dgm"]["loading_mechanism"]["type"] == "IFRAME"
    entry = tab.client.get("/data/plugin_entry.html?name=dgm").text
    assert '"./static/index.js"' in entry


def test_without_a_log_directory_there_are_no_runs() -> None:
    for tab in (open_tab(""), open_tab("gs://bucket/logs"), open_tab("/nowhere/at/all")):
        assert tab.json("runs")["runs"] == []
        assert not tab.plugin.is_active()


def test_a_specification_prefixes_the_names(logdir: Path, recorded: Recorded) -> None:
    tab = open_tab("", f"first:{logdir},second:{logdir}/vae/version_0")
    assert {run["name"] for run in tab.json("runs")["runs"]} == {f"first/{RUN}", "second/."} or {
        run["name"] for run in tab.json("runs")["runs"]
    } == {f"first/{RUN}", "second"}


def test_a_run_may_be_the_log_directory_itself(recorded: Recorded) -> None:
    tab = open_tab(recorded.directory)
    assert [run["name"] for run in tab.json("runs")["runs"]] == ["."]
    assert tab.get("graph", run=".").status_code == 200


def test_new_snapshots_of_a_growing_run_arrive_since_the_cursor(tmp_path: Path) -> None:
    with RunWriter(tmp_path / "a" / "plugins" / "dgm", session=new_session()) as writer:
        dynamics = synthetic.begin(writer, SHAPE)
        synthetic.append(writer, dynamics, 0)
        tab = open_tab(tmp_path)
        first = until(lambda: with_snapshots(tab, 1))
        assert first["runs"][0]["state"] == "live"
        before = tab.arrays("loss", run="a")[1]
        synthetic.append(writer, dynamics, 1)
        then = until(lambda: with_snapshots(tab, 2, since=first["cursor"]))
        assert then["runs"][0]["generation"] == first["runs"][0]["generation"]
        _, more = tab.arrays("loss", run="a", since=int(before["step"][-1]))
        np.testing.assert_array_equal(more["step"], np.arange(1, EVERY + 1))
        np.testing.assert_array_equal(more["snapshots"], [EVERY])
        assert tab.arrays("layer", run="a", node=SPIKE_NODE)[0]["focus"] == EVERY
    ended = tab.json("runs", since=then["cursor"])
    assert ended["runs"][0]["state"] == "ended"


def one(reply: Any, snapshots: int) -> bool:
    return [run["snapshots"] for run in reply["runs"]] == [snapshots]


def with_snapshots(tab: Tab, snapshots: int, **parameters: object) -> Any:
    """The reply of `runs` if its only run has so many snapshots."""
    reply = tab.json("runs", **parameters)
    return reply if one(reply, snapshots) else None


def test_a_resumed_run_is_a_new_generation_without_the_abandoned_steps(tmp_path: Path) -> None:
    shape = synthetic.Shape(16, 10)
    record(tmp_path / "a", shape, session="20260101T000000Z-00000000")
    tab = open_tab(tmp_path)
    first = tab.json("runs")
    with RunWriter(tmp_path / "a" / "plugins" / "dgm", session="20260102T000000Z-00000000") as writer:
        dynamics = synthetic.begin(writer, shape)
        for index in (5, 6):
            synthetic.append(writer, dynamics, index)
    (run,) = tab.json("runs", since=first["cursor"])["runs"]
    assert run["generation"] > first["runs"][0]["generation"]
    header, arrays = tab.arrays("loss", run="a")
    assert header["generation"] == run["generation"]
    np.testing.assert_array_equal(arrays["snapshots"], np.arange(7) * EVERY)


def test_a_run_that_vanished_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "_PAUSE", 0.05)
    record(tmp_path / "a", synthetic.Shape(16, 3))
    tab = open_tab(tmp_path)
    cursor = tab.json("runs")["cursor"]
    (tmp_path / "a").rename(tmp_path / ".a")
    until(lambda: tab.json("runs", since=cursor)["gone"] == ["a"])
    assert tab.refusal("graph", run="a")[0] == 404


def test_threads_may_ask_everything_while_the_run_grows(tmp_path: Path) -> None:
    shape = synthetic.Shape(16, 400)
    done, failures = threading.Event(), list[str]()
    with RunWriter(tmp_path / "a" / "plugins" / "dgm", session=new_session()) as writer:
        dynamics = synthetic.begin(writer, shape)
        synthetic.append(writer, dynamics, 0)
        tab = open_tab(tmp_path)
        until(lambda: one(tab.json("runs"), 1))

        def hammer(noun: str) -> None:
            steps = 0.0
            while not done.is_set():
                response = tab.get(noun, **GOOD.get(noun, {}) | ({"run": "a"} if noun in GOOD else {}))
                if response.status_code != 200:
                    failures.append(f"{noun}: {response.status_code} {response.text}")
                    return
                if noun == "loss":
                    _, arrays = tab.arrays("loss", run="a")
                    if not (np.diff(arrays["snapshots"]) > 0).all() or arrays["snapshots"][-1] < steps:
                        failures.append("snapshots went back")
                    steps = arrays["snapshots"][-1]

        threads = [threading.Thread(target=hammer, args=(noun,)) for noun in ["runs", *GOOD] * 2]
        for thread in threads:
            thread.start()
        for index in range(1, 60):
            synthetic.append(writer, dynamics, index)
        until(lambda: one(tab.json("runs"), 60), seconds=60)
        done.set()
        for thread in threads:
            thread.join()
    assert failures == []


def foreign(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")


def garbage(folder: Path) -> None:
    session = folder / "20260101T000000Z-00000000-rank0"
    session.mkdir()
    for name in ("segment-00000", "journal-00000-00000", "steps", "end"):
        (session / name).write_bytes(bytes(range(256)) * 20)


def zeros(folder: Path) -> None:
    session = folder / "20260101T000000Z-00000000-rank0"
    session.mkdir()
    (session / "segment-00000").write_bytes(bytes(100_000))


def directories(folder: Path) -> None:
    (folder / "20260101T000000Z-00000000-rank0" / "segment-00000").mkdir(parents=True)


def links(folder: Path) -> None:
    session = folder / "20260101T000000Z-00000000-rank0"
    session.mkdir()
    (session / "segment-00000").symlink_to("/dev/zero")
    (session / "steps").symlink_to("/etc/passwd")


@pytest.mark.parametrize(
    ("mischief", "said"), [(foreign, True), (garbage, True), (zeros, True), (directories, False), (links, False)]
)
def test_a_hostile_log_directory_hides_no_other_run(
    tmp_path: Path, mischief: Callable[[Path], None], said: bool
) -> None:
    record(tmp_path / "good", synthetic.Shape(16, 3))
    folder = tmp_path / "bad" / "plugins" / "dgm"
    folder.mkdir(parents=True)
    mischief(folder)
    tab = open_tab(tmp_path)
    runs = {run["name"]: run for run in tab.json("runs")["runs"]}
    assert runs["good"]["snapshots"] == 3
    assert runs["bad"]["snapshots"] == 0
    assert bool(runs["bad"]["problems"]) or not said  # a session without a manifest may still be about to get one
    assert "root:" not in json.dumps(runs)
    for noun, parameters in GOOD.items():
        response = tab.get(noun, **parameters | {"run": "bad"})
        assert response.status_code in (200, 404, 409), response.text
        assert "Traceback" not in response.text


def test_a_name_that_is_not_utf8_is_listed_and_told(tmp_path: Path) -> None:
    record(tmp_path / os.fsdecode(b"caf\xe9"), synthetic.Shape(16, 3))
    tab = open_tab(tmp_path)
    assert [run["name"] for run in tab.json("runs")["runs"]] == ["caf\udce9"]
    assert tab.refusal("graph", run="x") == (404, "Not found: there is no run 'x'; the runs are: caf\\udce9")


def test_a_truncated_run_serves_what_is_whole(tmp_path: Path) -> None:
    record(tmp_path / "a", synthetic.Shape(16, 5))
    (journal,) = (tmp_path / "a").rglob("journal-*")
    journal.write_bytes(journal.read_bytes()[:-7])
    tab = open_tab(tmp_path)
    assert one(tab.json("runs"), 4)
    assert len(tab.arrays("layer", run="a", node=SPIKE_NODE)[1]["step"]) == 4
