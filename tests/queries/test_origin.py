"""The question where values cease to be finite; the search itself is `tests/replay/test_origin.py`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from dgm_tb.errors import UnknownNameError
from dgm_tb.queries.origin import Request, answer
from dgm_tb.replay import deep, tape
from dgm_tb.replay.ask import Answer, OriginAsked
from dgm_tb.store.run import Run
from tests.queries.deeply import LATER, Told, deep_run, told


def test_it_is_of_the_steps_first_program_and_told_as_the_worker_has_it(tmp_path: Path) -> None:
    deep_run(tmp_path)
    found = {"op": "exp", "driver": {"node": "head", "units": [1]}}
    client = told("done", answer=Answer(1, "done", {"origin": found}, {}))
    with Run(tmp_path) as run:
        view = answer(run, Request("", LATER, asker="tab"), client)
        assert answer(run, Request("", LATER), told("running")).origin is None
    assert (view.state, view.step, view.program, view.origin) == ("done", LATER, "backward#0", found)
    ((asked, asker),) = cast("Told", client).asked
    assert isinstance(asked, OriginAsked)
    assert (asked.program, asker) == ("backward#0", "tab")


def test_a_step_without_a_backward_pass_has_none_to_look_in(tmp_path: Path) -> None:
    session = deep_run(tmp_path)
    path = session / deep.FOLDER / deep.name(LATER) / deep.TAPE
    path.write_bytes(tape.dump(replace(tape.load(path.read_bytes()), programs=(), outputs=())))
    with Run(tmp_path) as run, pytest.raises(UnknownNameError, match="no backward ran at step 3"):
        answer(run, Request("", LATER), told("running"))
