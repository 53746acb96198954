from __future__ import annotations

import json

import pytest

from dgm_tb.errors import FormatError
from dgm_tb.store import headers
from tests.store import made


def test_a_header_is_compact_json_with_its_version_and_kind() -> None:
    assert headers.dump("end", reason="ü") == b'{"v":2,"kind":"end","reason":"\\u00fc"}'
    assert headers.load(headers.dump("end", reason="ü"))["reason"] == "ü"


def test_a_nan_is_not_json() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        headers.dump("end", reason=float("nan"))


def test_what_a_later_release_adds_is_ignored_and_what_has_a_default_may_be_missing() -> None:
    keys = json.loads(headers.dump("graph", **headers.graph_keys(made.GRAPH)))
    keys["colour"] = keys["nodes"][0]["colour"] = "blue"
    del keys["nodes"][1]["calls"]
    assert headers.graph(keys) == made.GRAPH


def test_numbers_beyond_reason_are_refused() -> None:
    assert headers.integer(headers.MOST_NUMBER, "units") == headers.MOST_NUMBER
    with pytest.raises(FormatError, match="units is 4611686018427387905"):
        headers.integer(headers.MOST_NUMBER + 1, "units")
