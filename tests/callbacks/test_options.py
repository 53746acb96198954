from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from torch import nn

from dgm_tb import moments
from dgm_tb.errors import UsageError
from dgm_tb.moments import DERIVED, STATISTICS
from dgm_tb.records import QUANTITIES
from lightning_callbacks import Group, options
from lightning_callbacks.options import NEEDS, parse


@pytest.mark.parametrize("value", [0, -3, 2.5, "10", True, None])
def test_the_interval_must_be_a_positive_integer(value: Any) -> None:
    with pytest.raises(UsageError, match=r"every_n_steps=.*must be an integer of at least 1"):
        parse(every_n_steps=value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"quantities": ["activations"]}, "quantities=.*'activations'; did you mean 'activation'"),
        ({"quantities": ["zzz"]}, "quantities=.*allowed are activation, gradient"),
        ({"quantities": []}, "quantities=.*names nothing"),
        ({"quantities": 3}, "quantities=3 names nothing"),
        ({"statistics": ["sdt"]}, "statistics=.*did you mean 'std'"),
        ({"statistics": "median"}, "statistics=.*did you mean 'mean'"),
        ({"statistics": ["mean", "kurtosis"]}, "statistics=.*no 'kurtosis'; allowed are count, mean"),
        ({"roles": {"head": "logvr"}}, "roles=.*'head'.*did you mean 'logvar'"),
        ({"roles": {nn.Linear: "mean"}}, "roles=.*name the module by its path"),
        ({"roles": ["head"]}, "roles=.*must be a dict"),
        ({"calls": {"cell": 0}}, "calls=.*'cell': 0.*at least 1"),
        ({"calls": {"(": 3}}, r"calls='\('"),
        ({"unit_axis": {"encoder": "last"}}, "unit_axis=.*must be an integer"),
        ({"include": "("}, r"include='\('"),
        ({"exclude": ["a", 7]}, "exclude=7"),
        ({"groups": {"a": 500}}, r"groups={'a': 500}: write Group\("),
        ({"groups": {"a": Group(every_n_steps=0)}}, "groups={'a': ...}, every_n_steps=0 must be an integer"),
        ({"groups": {"a": Group(quantities=["wieght"])}}, "groups={'a': ...}, quantities=.*did you mean 'weight'"),
        ({"groups": {"a": Group(statistics="mx")}}, "groups={'a': ...}, statistics='mx'.*did you mean 'max'"),
        ({"max_disk": "2 gigs"}, "max_disk='2 gigs' is no size: write for example '2GiB'"),
        ({"max_disk": "GiB"}, "max_disk='GiB'"),
        ({"max_disk": 0}, "max_disk=0"),
        ({"max_disk": -5}, "max_disk=-5"),
        ({"max_disk": True}, "max_disk=True"),
        ({"max_disk": 2.5}, "max_disk=2.5"),
        ({"compiled": "egaer"}, "compiled=.*did you mean 'eager'"),
        ({"dtype": "float61"}, "dtype=.*did you mean 'float16'"),
        ({"dtype": "bfloat16"}, "dtype='bfloat16'"),
    ],
)
def test_what_cannot_be_used_is_named_with_what_to_write(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse(**arguments)


def test_by_default_everything() -> None:
    found = parse()
    assert found.every_n_steps == 50
    assert found.share.quantities == set(QUANTITIES)
    assert found.share.statistics == STATISTICS
    assert found == parse(50, quantities=QUANTITIES, statistics=[*STATISTICS, *DERIVED])


def test_a_single_name_needs_no_list() -> None:
    assert parse(quantities="update").share.quantities == {"update"}
    assert parse(statistics="max").share.statistics == ("count", "max")


@pytest.mark.parametrize("statistic", [*STATISTICS, *DERIVED])
def test_what_is_stored_of_a_statistic_suffices_to_tell_it_and_to_merge_ranks(statistic: str) -> None:
    stored = options.stored([statistic])
    assert stored[0] == "count"
    rng = np.random.default_rng(0)
    parts = []
    for _ in range(2):
        values = rng.normal(size=(5, 3)).astype(np.float32)
        part = moments.absent(3)
        part[:] = [
            np.full(3, 5), values.mean(0), values.var(0) * 5, values.min(0), values.max(0), [1, 0, 2], [0, 0, 0],
            np.abs(values).argmax(0),
        ]  # fmt: skip
        parts.append(part)
    whole = moments.derive(moments.merge(*parts), statistic)
    for part in parts:  # what is not stored is unknown
        part[[index for index, name in enumerate(STATISTICS) if name not in stored]] = np.nan
    np.testing.assert_array_equal(moments.derive(moments.merge(*parts), statistic), whole)


def test_every_statistic_has_its_needs() -> None:
    assert set(NEEDS) == {*STATISTICS, *DERIVED}


def test_a_group_takes_what_it_does_not_say_from_the_whole() -> None:
    found = parse(
        10,
        quantities=["activation", "update"],
        statistics="mean",
        groups={"a": Group(every_n_steps=500), nn.Linear: Group(quantities="weight", statistics="std")},
    )
    (_, first), (_, second) = found.groups
    assert (first.every_n_steps, first.quantities) == (500, frozenset({"activation", "update"}))
    assert first.statistics == ("count", "mean", "nonfinite")
    assert (second.every_n_steps, second.quantities) == (10, frozenset({"weight"}))
    assert second.statistics == ("count", "mean", "m2", "nonfinite")


@pytest.mark.parametrize(
    ("given", "size"),
    [
        (None, None),
        (1000, 1000),
        ("1000", 1000),
        ("2GiB", 2 << 30),
        ("500 MiB", 500 << 20),
        ("1.5kb", 1500),
        ("2gb", 2 * 10**9),
        (" 1 TiB ", 1 << 40),
    ],
)
def test_sizes(given: Any, size: int | None) -> None:
    assert parse(max_disk=given).max_disk == size


def test_half_precision_is_asked_for_by_name() -> None:
    assert parse(dtype="float16").half
    assert not parse().half
