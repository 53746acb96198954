from __future__ import annotations

from typing import Any

import pytest

from dgm_tb.errors import UsageError
from dgm_tb.records import QUANTITIES
from lightning_callbacks import options


def _parse(**changed: Any) -> options.Options:
    arguments: dict[str, Any] = {"every_n_steps": 50, "quantities": QUANTITIES, "include": None, "exclude": None}
    return options.parse(**(arguments | {"unit_axis": None} | changed))


@pytest.mark.parametrize("value", [0, -3, 2.5, "10", True, None])
def test_the_interval_must_be_a_positive_integer(value: Any) -> None:
    with pytest.raises(UsageError, match=r"every_n_steps=.*must be an integer of at least 1"):
        _parse(every_n_steps=value)


def test_a_misspelt_quantity_is_told_what_was_meant() -> None:
    with pytest.raises(UsageError, match="did you mean 'activation'"):
        _parse(quantities=["activations"])


def test_a_quantity_unlike_any_is_told_what_there_is() -> None:
    with pytest.raises(UsageError, match="allowed are activation, gradient"):
        _parse(quantities=["zzz"])


def test_no_quantities_is_an_error() -> None:
    with pytest.raises(UsageError, match="quantities"):
        _parse(quantities=[])


def test_a_single_name_is_a_quantity() -> None:
    assert _parse(quantities="update").quantities == {"update"}


@pytest.mark.parametrize("argument", ["include", "exclude"])
def test_a_broken_pattern_is_named(argument: str) -> None:
    with pytest.raises(UsageError, match=rf"{argument}='\('"):
        _parse(**{argument: "("})


def test_an_axis_must_be_an_integer() -> None:
    with pytest.raises(UsageError, match="unit_axis"):
        _parse(unit_axis={"encoder": "last"})


def test_one_pattern_or_several() -> None:
    assert len(_parse(include="a").include) == 1
    assert len(_parse(include=["a", "b"]).include) == 2
