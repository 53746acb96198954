"""An intervention as the worker is asked it, and its numbers; `tests/replay/test_counterfactual.py` has the replay."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest

from dgm_tb.errors import UnknownNameError
from dgm_tb.queries.replay import Request, answer
from dgm_tb.replay.ask import Answer, Change, ReplayAsked
from dgm_tb.store.run import Run
from tests.queries.deeply import EARLIER, LATER, Told, deep_run, told

CLAMP = Request("", LATER, "last", "clamp", (0,), at="act", of=(1, 2), low=-1.0, high=1.0, asker="tab")


def test_the_change_is_asked_as_it_was_given(tmp_path: Path) -> None:
    deep_run(tmp_path)
    client = told("waiting")
    with Run(tmp_path) as run:
        assert answer(run, CLAMP, client).state == "waiting"
        answer(run, Request("", LATER, "last", "restore-weights", previous=EARLIER), client)
        with pytest.raises(UnknownNameError, match="no deep snapshot"):
            answer(run, Request("", LATER, "last", "restore-weights", previous=1), client)
    (clamp, asker), (restore, _) = cast("Told", client).asked
    assert isinstance(clamp, ReplayAsked)
    assert isinstance(restore, ReplayAsked)
    assert (clamp.changes, clamp.earlier, asker) == ((Change("clamp", "act", (1, 2), -1.0, 1.0),), None, "tab")
    assert restore.earlier is not None


def test_a_loss_that_is_not_finite_is_told_apart_from_none(tmp_path: Path) -> None:
    deep_run(tmp_path)
    numbers = {"target_before": 200.0, "target_after": 1.0, "loss_before": np.inf, "loss_after": 2.5}
    reply = Answer(1, "done", {}, {name: np.array(value) for name, value in numbers.items()})
    with Run(tmp_path) as run:
        view = answer(run, CLAMP, told("done", answer=reply))
    assert {name: getattr(view, name) for name in numbers} == numbers
    assert (view.loss_finite_before, view.loss_finite_after) == (False, True)
