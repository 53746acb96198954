from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dgm_tb
from dgm_tb.errors import UnknownNameError, UsageError
from dgm_tb.moments import derive
from dgm_tb.records import RowKey
from dgm_tb.store.parts import Part
from dgm_tb.store.run import Run
from tests import synthetic
from tests.store import laid, made

SHAPE = synthetic.Shape(width=16, snapshots=30)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.write_run(tmp_path_factory.mktemp("run"), SHAPE)


def test_a_run_tells_what_was_recorded(path: Path) -> None:
    with dgm_tb.open_run(path) as run:
        assert run.steps.tolist() == list(range(0, 300, synthetic.EVERY))
        assert run.nodes == synthetic.nodes(SHAPE.width)
        assert run.graph == synthetic.graph(SHAPE.width)
        assert run.losses.columns == ("loss", "val_loss", "kl")
        assert np.isnan(run.losses.values[0, -1])
        assert run.losses.logged[0, -1]
        assert not run.losses.logged[1, -1] or run.losses.steps[-1] % 50 == 0
        assert run.problems == ()
        assert not run.refresh()
        assert "30 snapshots, steps 0 to 290, 17 nodes" in repr(run)
    assert dgm_tb.open_run(str(path / "plugins" / "dgm")).steps[-1] == 290


@pytest.mark.parametrize("statistic", ["mean", "std", "zero_fraction", "count", "argmax_sample"])
def test_a_series_is_a_statistic_of_every_unit(path: Path, statistic: str) -> None:
    run = dgm_tb.open_run(path)
    key = RowKey("discriminator.conv", "backward#1", "gradient")
    series = run.series("discriminator.conv", "gradient", statistic, program="backward#1")
    assert series.shape == (30, 8)
    np.testing.assert_array_equal(series, derive(Run(path).read(key, slice(None)), statistic))


def test_units_and_steps_choose(path: Path) -> None:
    run = dgm_tb.open_run(path)
    whole = run.series(synthetic.SPIKE_NODE, "activation")
    np.testing.assert_array_equal(run.series(synthetic.SPIKE_NODE, "activation", units=[5, 3]), whole[:, [5, 3]])
    np.testing.assert_array_equal(run.series(synthetic.SPIKE_NODE, "activation", steps=[20, 0]), whole[[2, 0]])
    np.testing.assert_array_equal(run.series(synthetic.SPIKE_NODE, "activation", steps=slice(15, 50)), whole[2:5])
    np.testing.assert_array_equal(
        run.series(synthetic.SPIKE_NODE, "activation", steps=slice(None, None, 2)), whole[::2]
    )


def test_what_was_thinned_is_told_and_not_in_the_steps(tmp_path: Path) -> None:
    session = laid.Session([(made.LAYOUT, [made.snapshot(step) for step in range(130)])])
    laid.lay(tmp_path, session, lambda part: laid.THINNED if part == Part(0, 0, 0) else laid.BLOCK)
    run = dgm_tb.open_run(tmp_path)
    assert [(lost.level, lost.first_step, lost.last_step) for lost in run.thinned] == [(0, 0, 63)]
    assert run.steps.tolist() == [*range(64, 130)]
    assert run.series("net.a", "activation").shape == (66, 3)
    assert run.problems == ()


def test_the_spike_is_in_the_jumping_units(path: Path) -> None:
    series = dgm_tb.open_run(path).series(synthetic.SPIKE_NODE, "activation")
    jump = np.abs(series[SHAPE.spike] - series[SHAPE.spike - 1])
    assert set(np.argsort(jump)[-3:]) == set(synthetic.JUMPERS)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("encoder.varianse", "activation"), {}, "did you mean 'encoder.variance'"),
        (("encoder.variance", "aktivation"), {}, "recorded: activation"),
        (("encoder.variance", "activation"), {"program": "backward#7"}, "recorded in: backward#0"),
        (("encoder.variance", "activation"), {"units": [16]}, "the row has 0 to 15"),
        (("encoder.variance", "activation"), {"steps": [0, 7]}, "step 7 was not captured"),
    ],
)
def test_what_is_not_there_is_told(
    path: Path, arguments: tuple[str, str], options: dict[str, object], message: str
) -> None:
    with pytest.raises(UnknownNameError, match=message):
        dgm_tb.open_run(path).series(*arguments, **options)  # type: ignore[arg-type]


def test_a_statistic_that_there_is_not_is_refused(path: Path) -> None:
    with pytest.raises(UsageError, match="statistic='median' is none of mean, std"):
        dgm_tb.open_run(path).series("encoder.mean", "activation", "median")


def test_the_package_has_nothing_else() -> None:
    with pytest.raises(AttributeError, match="no attribute 'open_runs'"):
        dgm_tb.open_runs  # noqa: B018
