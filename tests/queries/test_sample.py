"""The inputs of a deep snapshot's batch."""

from __future__ import annotations

import numpy as np
import pytest

from dgm_tb.errors import UnknownNameError, UsageError
from dgm_tb.queries import sample
from dgm_tb.queries.sample import Request, answer
from dgm_tb.store.run import Run
from tests.callbacks.networks import Mlp
from tests.queries.deeply import LATER
from tests.replay.steps import two_steps


def test_samples_come_in_the_order_in_which_they_are_asked(deep: Run) -> None:
    view = answer(deep, Request("", LATER, None, (4, 1)))
    assert (view.batch, view.position.tolist(), view.values.dtype.name) == (6, [4, 1], "float32")
    np.testing.assert_array_equal(view.values, two_steps(Mlp)[1].tensors[view.key].numpy()[[4, 1]])


def test_labels_are_a_tensor_of_the_batch_too(deep: Run) -> None:
    first = answer(deep, Request("", LATER))
    second = answer(deep, Request("", LATER, "input.[1]"))
    assert (first.key, second.key, second.values.shape) == ("input.[0]", "input.[1]", (6,))


def test_as_many_as_fit_come_by_themselves_and_more_are_refused(deep: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "_MOST_VALUES", 13)  # two samples of six values
    assert answer(deep, Request("", LATER)).position.tolist() == [0, 1]
    with pytest.raises(UsageError, match="3 samples of 6 values are too many"):
        answer(deep, Request("", LATER, None, (0, 1, 2)))


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            Request("", LATER, "parameter.first.weight"),
            r"no tensor of the batch of step 3; there are: input.\[0\], input.\[1\]",
        ),
        (Request("", LATER, None, (6,)), "no sample 6; it has 0 to 5"),
        (Request("", 1), "no deep snapshot"),
    ],
)
def test_what_is_not_there_is_told(deep: Run, request_: Request, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        answer(deep, request_)
