from __future__ import annotations

import dataclasses
import importlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgm_tb.errors import UsageError
from dgm_tb.plugin.params import PARAMETERS, Choice, Several, Text, Whole, parse, shorten
from dgm_tb.queries import layer, loss, neuron, runs


def test_every_route_takes_exactly_the_fields_of_its_request() -> None:
    for noun, converters in PARAMETERS.items():
        request = importlib.import_module(f"dgm_tb.queries.{noun}").Request
        assert {field.name for field in dataclasses.fields(request)} == set(converters), noun


def test_the_defaults_are_those_of_the_request() -> None:
    assert parse("layer", layer.Request, [("run", "a"), ("node", "b")]) == layer.Request(
        "a", "b", program=None, quantity="activation", statistic="mean", focus=None, window=25, m=300, scale="symlog"
    )


def test_every_value_is_converted() -> None:
    pairs = [("run", "."), ("node", "n"), ("units", "7,1"), ("since", "-1"), ("program", "backward#1")]
    assert parse("neuron", neuron.Request, pairs) == neuron.Request(".", "n", (7, 1), program="backward#1", since=-1)
    assert parse("runs", runs.Request, [("since", "abc-1")]) == runs.Request("abc-1")


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        ([], "run is missing"),
        ([("run", "a"), ("run", "b")], "run is given twice"),
        ([("run", "a"), ("sinse", "1")], "'sinse' is not a parameter of loss; did you mean since?"),
        ([("run", "a"), ("xyz", "1")], "'xyz' is not a parameter of loss; it takes run, since"),
        ([("run", "a"), ("since", "x")], "since='x' cannot be used; allowed: a whole number from -1 to"),
        ([("run", "")], "run='' cannot be used; allowed: 1 to 1024 characters"),
    ],
)
def test_a_refusal_names_the_parameter_and_the_remedy(pairs: list[tuple[str, str]], says: str) -> None:
    with pytest.raises(UsageError, match="^" + says.replace("?", r"\?")):
        parse("loss", loss.Request, pairs)


@pytest.mark.parametrize(
    "text", ["", "-", "--1", "+1", " 1", "1 ", "1_0", "1.0", "1e3", "0x1", "٣", "²", "9" * 5000, "3", "-3"]
)
def test_whole_refuses_what_is_no_plain_number_in_its_range(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - `parse` says what is wrong, not the converter
        Whole(-2, 2).convert(text)


@given(st.integers(-(2**53), 2**53))
def test_whole_takes_every_number_of_its_range(number: int) -> None:
    assert Whole(-(2**53), 2**53).convert(str(number)) == number


@pytest.mark.parametrize("text", ["", ",", "1,", "1,,2", "1,1", "01,1", "a", "1,2,3,4", "9"])
def test_several_refuses(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - `parse` says what is wrong, not the converter
        Several(Whole(0, 8), 3).convert(text)


def test_several_keeps_the_order() -> None:
    assert Several(Whole(0, 8), 3).convert("8,0,3") == (8, 0, 3)


@given(st.text())
def test_a_message_quotes_any_text_on_one_short_line(text: str) -> None:
    quoted = shorten(text)
    assert quoted.isprintable()
    assert len(quoted) <= 82 * 10 + 2


@given(st.text(max_size=20))
def test_a_text_is_taken_by_its_length(text: str) -> None:
    assert takes(Text(5), text) == (1 <= len(text) <= 5)


@given(st.sampled_from(["a", "b", "A", "", "ab", "a "]))
def test_a_choice_takes_its_words_only(text: str) -> None:
    assert takes(Choice(("a", "b")), text) == (text in ("a", "b"))


def takes(converter: Text | Choice, text: str) -> bool:
    try:
        return converter.convert(text) == text
    except ValueError:
        return False
