from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from dgm_tb.store.parts import Part
from dgm_tb.store.thinning import Extent, Held, choose, give_up
from tests.store import made, oracles

MOST = 1600


def part(number: int, *, level: int = 0, size: int = 100, session: str = made.SESSION, rank: int = 0) -> Held:
    """Part ``number``, which covers as many steps as its level says, 64 a part."""
    covered = Part(level, 0, number).snapshots
    extent = Extent(covered.start, covered.stop - 1, 64)
    return Held(Path(f"{session}-rank{rank}"), "", Part(level, 0, number), size, extent)


def chosen(held: list[Held], need: int, *protected: tuple[int, int]) -> list[tuple[int, int]]:
    return [(found.part.level, found.part.part) for found in choose(held, need, MOST, protected)]


def test_the_oldest_of_full_resolution_go_first() -> None:
    held = [part(number) for number in (3, 0, 2, 1)] + [part(0, level=1)]
    assert chosen(held, 150) == [(0, 0), (0, 1)]
    assert chosen(held, 0) == []
    assert chosen([part(0, session=made.LATER), part(5)], 100) == [(0, 5)]


def test_a_level_beyond_its_share_gives_way_before_the_last_of_full_resolution_do() -> None:
    held = [part(number) for number in range(5)] + [part(number, level=1) for number in range(4)]
    # A quarter of the budget is four parts of level 0, an eighth two of level 1.
    assert chosen(held, 300) == [(0, 0), (1, 0), (1, 1)]
    assert chosen(held, 500) == [(0, 0), (1, 0), (1, 1), (0, 1), (0, 2)]  # none beyond its share: the lowest level
    assert len(chosen(held, 10_000)) == len(held)


def test_what_is_protected_goes_after_all_levels() -> None:
    held = [part(number) for number in range(3)] + [part(0, level=1)]
    assert chosen(held, 400, (70, 80)) == [(0, 0), (0, 2), (0, 1), (1, 0)]  # level 1 has steps 70 to 80 as well
    assert chosen(held, 100, (0, 63)) == [(0, 1)]
    assert chosen(held, 100, (64, 64)) == [(0, 0)]


def test_the_ranks_of_a_session_keep_the_same_steps() -> None:
    held = [part(number, rank=rank) for rank in (0, 1) for number in range(3)]
    found = choose(held, 400, MOST, ())
    assert sorted((kept.directory.name[-1], kept.part.part) for kept in found) == [
        ("0", 0), ("0", 1), ("1", 0), ("1", 1)
    ]  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 50)), max_size=12), st.integers(0, 400))
def test_no_more_is_chosen_than_is_needed(parts: list[tuple[int, int]], need: int) -> None:
    held = [part(number, level=level, size=size) for number, (level, size) in enumerate(parts)]
    found = choose(held, need, MOST, ())
    freed = sum(kept.size for kept in found)
    assert freed >= min(need, sum(size for _, size in parts))
    assert not found or freed - found[-1].size < need
    assert len(set(found)) == len(found)


def test_a_note_stands_before_the_files_go_and_joins_neighbours(tmp_path: Path) -> None:
    directory = tmp_path / f"{made.SESSION}-rank0"
    directory.mkdir()
    held = []
    for number in (4, 0, 1, 2):
        found = part(number)
        (directory / found.part.block).write_bytes(b"x")
        held.append(Held(directory, found.part.block, found.part, 1, found.extent))
    (directory / Part(0, 0, 1).journal).write_bytes(b"left by a crash")
    (directory / Part(0, 0, 3).block).write_bytes(b"kept")
    notes = give_up(held, "because")
    assert [(note.first_step, note.last_step, note.snapshots) for note in notes] == [(0, 191, 192), (256, 319, 64)]
    assert {path.name for path in directory.iterdir()} == {"thinned", Part(0, 0, 3).block}
    give_up([Held(directory, Part(0, 0, 3).block, Part(0, 0, 3), 4, Extent(192, 255, 64))], "at last")
    told = oracles.headers(directory / "thinned", tmp_path)
    assert [note["first_step"] for note in told] == [0, 256, 192]
    assert [note["reason"] for note in told] == ["because", "because", "at last"]
    assert {note["kind"] for note in told} == {"thinned"}
