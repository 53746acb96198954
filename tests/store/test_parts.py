from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgm_tb.store.parts import Part, parse


@given(st.builds(Part, st.integers(0, 15), st.integers(0, 10**9 - 1), st.integers(0, 10**9 - 1)))
def test_a_part_is_known_by_its_files_names(part: Part) -> None:
    assert parse(part.journal) == part
    assert parse(part.block) == part


def test_the_names_are_those_of_the_format() -> None:
    assert (Part(0, 2, 31).journal, Part(0, 2, 31).block) == ("journal-00002-00031", "block-00002-00031")
    assert (Part(3, 2, 31).journal, Part(3, 2, 31).block) == ("rollup-3-00002-00031", "rollblock-3-00002-00031")


@pytest.mark.parametrize(
    "name",
    [
        "", "steps", "segment-00000", ".block-00000-00000", "block-00000", "block-0-0", "block-1-00000-00000",
        "rollup-00000-00000", "rollup-0-00000-00000", "rollup-01-00000-00000", "journal-00000-00000.tmp",
        "journal-000000-00000", "journal-0000000000-00000", "journal-00000-0000٣",
    ],
)  # fmt: skip
def test_other_names_are_no_parts(name: str) -> None:
    assert parse(name) is None


def test_a_part_covers_as_many_snapshots_as_its_level_says() -> None:
    assert Part(0, 0, 2).snapshots == range(128, 192)
    assert Part(1, 0, 2).snapshots == range(2048, 3072)
