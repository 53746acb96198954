"""A question about credit as the worker is asked it, and its reply; the credit is in `tests/replay/test_credit.py`."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any, cast

import numpy as np
import pytest

from dgm_tb.errors import UnknownNameError, UsageError
from dgm_tb.queries.credit import Request, answer, resolve
from dgm_tb.replay.ask import Answer, CreditAsked
from dgm_tb.replay.credit import change_credit
from dgm_tb.replay.parts import packed
from dgm_tb.store.run import Run
from tests.callbacks.networks import Mlp
from tests.queries.deeply import EARLIER, LATER, Told, deep_run, told
from tests.replay.steps import two_steps


def step_of(path: str | None) -> int | None:
    return None if path is None else int(PurePath(path).name)


def test_the_question_is_of_the_change_since_the_deep_step_before(deep: Run) -> None:
    asked, _ = resolve(deep, Request("", LATER, "last", (2, 0), samples=(1,), batch="same"))
    assert (step_of(asked.earlier), step_of(asked.later)) == (EARLIER, LATER)
    assert (asked.target.program, asked.target.units, asked.target.samples) == ("backward#0", (2, 0), (1,))
    assert (asked.method, asked.batch) == ("change", "same")


def test_a_value_needs_no_step_before(deep: Run) -> None:
    asked, files = resolve(deep, Request("", EARLIER, "last", method="value"))
    assert asked.earlier is None
    assert files[1] is None


def test_an_answer_depends_on_the_very_files(deep: Run, tmp_path: Path) -> None:
    deep_run(tmp_path)
    with Run(tmp_path) as other:
        assert resolve(other, Request("", LATER, "last"))[1] != resolve(deep, Request("", LATER, "last"))[1]


@pytest.mark.parametrize(
    ("request_", "kind", "message"),
    [
        (Request("", EARLIER, "last"), UnknownNameError, "method=value"),
        (Request("", LATER, "last", previous=LATER), UsageError, "must be a deep step before"),
        (Request("", LATER, "last", previous=1), UnknownNameError, "step 1 is no deep snapshot"),
        (Request("", LATER, "nowhere"), UnknownNameError, "not on the tape"),
    ],
)
def test_what_cannot_be_asked_is_refused(deep: Run, request_: Request, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        answer(deep, request_, told("running"))


def test_of_a_loss_the_node_does_not_matter(deep: Run) -> None:
    asked, _ = resolve(deep, Request("", LATER, "nowhere", quantity="loss"))
    assert asked.target.program == "backward#0"


@pytest.mark.parametrize("state", ["waiting", "running", "failed"])
def test_until_there_is_an_answer_its_state_is_told(deep: Run, state: str) -> None:
    client = told(state, message="why", nodes=9)
    view = answer(deep, Request("", LATER, "last", asker="tab"), client)
    assert (view.state, view.message, view.nodes, view.previous) == (state, "why", 9, EARLIER)
    assert view.credit == {}
    ((asked, asker),) = cast("Told", client).asked
    assert isinstance(asked, CreditAsked)
    assert asker == "tab"


def test_the_parts_are_told_by_group_and_name(deep: Run) -> None:
    asked, _ = resolve(deep, Request("", LATER, "last"))
    made = change_credit(asked.target, *two_steps(Mlp))
    view = answer(deep, Request("", LATER, "last"), told("done", answer=Answer(1, "done", *packed(made))))
    assert (view.state, view.converged, view.nodes) == ("done", made.converged, made.nodes)
    assert (view.before, view.after, view.gap) == (made.before, made.after, made.gap)
    expected: Any = made.units["act"].astype(np.float32)
    np.testing.assert_array_equal(view.credit["units/act"], expected)
    assert {"units/last", "parameters/first.weight", "inputs/[0]", "samples"} <= view.credit.keys()
    assert "numbers" not in view.credit


def test_of_a_gradient_followed_onwards_there_are_units_only(deep: Run) -> None:
    reply = Answer(1, "done", {"groups": ["units"]}, {"units/last": np.ones(3)})
    view = answer(deep, Request("", LATER, "last", method="after"), told("done", answer=reply))
    assert (view.state, view.after, list(view.credit)) == ("done", None, ["units/last"])
