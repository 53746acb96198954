from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dgm_tb.records import Graph
from dgm_tb.store import index, journals, logs, partindex
from dgm_tb.store.blockwriter import write_block
from dgm_tb.store.index import SessionIndex
from dgm_tb.store.losses import combine
from dgm_tb.store.parts import PART_SNAPSHOTS, Part
from dgm_tb.store.pool import pool
from dgm_tb.store.snapshots import snapshot_format
from tests.store import laid, made


def follow(directory: Path) -> SessionIndex:
    return SessionIndex(directory, made.SESSION, 0, inode=1, pool=pool())


def test_it_knows_what_was_written_and_when_nothing_is_new(tmp_path: Path) -> None:
    directory = made.write(
        tmp_path, [made.manifest(), made.GRAPH, made.snapshot(0), made.table([0, 1]), made.snapshot(5)]
    )
    followed = follow(directory)
    assert followed.recording() is None
    assert followed.refresh()
    assert not followed.refresh()
    found = followed.recording()
    assert found is not None
    assert found.manifests == (made.manifest(),)
    assert found.graph == made.GRAPH
    assert found.steps.tolist() == [0, 5]
    assert found.levels[0].frame.tolist() == [0, 1]
    assert found.end is not None
    assert found.last_wall_time == made.BEGAN + 5
    assert followed.problems == ()


def test_a_graphs_id_is_the_graphs(tmp_path: Path) -> None:
    ids = []
    for number, graph in enumerate((made.GRAPH, made.GRAPH, Graph(1, made.NODES, ()))):
        followed = follow(made.write(tmp_path / str(number), [made.manifest(), graph]))
        followed.refresh()
        found = followed.recording()
        assert found is not None
        ids.append(found.graph_id)
    assert ids[0] == ids[1] != ids[2]


def test_many_flushes_are_kept_as_one_table(tmp_path: Path) -> None:
    tables = [made.table([step, step + 1], loss=float(step)) for step in range(600)]
    followed = follow(made.write(tmp_path, [made.manifest(), *tables]))
    followed.refresh()
    found = followed.recording()
    assert found is not None
    assert found.table.values.tolist() == combine(tables).values.tolist()


def test_losses_are_there_without_a_readable_manifest(tmp_path: Path) -> None:
    directory = made.write(tmp_path, [made.manifest(), made.snapshot(0), made.table([0, 1])])
    (directory / "segment-00000").write_bytes(b"")
    followed = follow(directory)
    followed.refresh()
    found = followed.recording()
    assert found is not None
    assert len(found.table.values) == 2
    assert found.created == made.BEGAN  # from its name
    assert followed.problems == (f"{directory.name}: journal-00000-00000 cannot be read without a manifest",)


def test_files_put_in_the_place_of_others_are_read_anew(tmp_path: Path) -> None:
    directory = made.write(tmp_path / "a", [made.manifest(), made.snapshot(0), made.snapshot(1)])
    followed = follow(directory)
    followed.refresh()
    before = followed.recording()
    shutil.rmtree(directory)
    shutil.copytree(made.write(tmp_path / "b", [made.manifest(), made.snapshot(7)]), directory)
    assert followed.refresh()
    after = followed.recording()
    assert before is not None
    assert after is not None
    assert after.steps.tolist() == [7]
    assert after.files[0].identity != before.files[0].identity


def test_a_record_in_the_wrong_file_is_a_sentence(tmp_path: Path) -> None:
    directory = made.write(tmp_path, [made.manifest(), made.table([0])])
    shutil.copy(directory / "end", directory / "steps")
    followed = follow(directory)
    followed.refresh()
    assert followed.problems == (f"{directory.name}/steps: holds a sessionend, which does not belong there",)


def test_a_directory_that_vanished_is_a_sentence(tmp_path: Path) -> None:
    followed = follow(tmp_path / "gone")
    assert followed.refresh()
    assert followed.problems == ("gone cannot be listed: No such file or directory",)
    assert not followed.refresh()


def laid_out(tmp_path: Path) -> tuple[Path, list[int]]:
    steps = range(3 * PART_SNAPSHOTS)
    session = laid.Session([(made.LAYOUT, [made.snapshot(step) for step in steps])], levels=1)
    return laid.lay(tmp_path, session), [*steps]


def to_block(directory: Path, part: Part) -> None:
    write_block(directory / part.block, snapshot_format(made.LAYOUT), directory / part.journal)
    (directory / part.journal).unlink()


@pytest.mark.parametrize("known", [False, True])
def test_a_listing_that_lacks_a_part_between_its_two_names_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    directory, steps = laid_out(tmp_path)
    follower, real, listings = follow(directory), index._sizes, list[int]()
    if known:
        follower.refresh()

    def sizes(path: Path) -> dict[str, int]:
        listings.append(1)
        found = real(path)
        if len(listings) == 1:
            del found["journal-00000-00001"]  # it went past us while it became a block
        return found

    monkeypatch.setattr(index, "_sizes", sizes)
    assert follower.refresh() != known
    found = follower.recording()
    assert found is not None
    assert (found.steps.tolist(), len(listings)) == (steps, 2)


def test_a_journal_that_becomes_a_block_after_it_was_listed_is_read_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, steps = laid_out(tmp_path)
    real = index._sizes

    def sizes(path: Path) -> dict[str, int]:
        found = real(path)
        if "journal-00000-00001" in found:
            to_block(directory, Part(0, 0, 1))
        return found

    monkeypatch.setattr(index, "_sizes", sizes)
    follower = follow(directory)
    follower.refresh()
    found = follower.recording()
    assert found is not None
    assert (found.steps.tolist(), follower.problems) == (steps, ())


def test_a_part_that_is_gone_is_no_loss_of_the_others(tmp_path: Path) -> None:
    directory, steps = laid_out(tmp_path)
    follower = follow(directory)
    follower.refresh()
    before = follower.recording()
    (directory / "journal-00000-00000").unlink()
    assert follower.refresh()
    found = follower.recording()
    assert before is not None
    assert found is not None
    assert found.steps.tolist() == steps[PART_SNAPSHOTS:]
    assert found.files[0].identity == before.files[1].identity
    assert not follower.refresh()


def test_rollups_of_a_segment_without_a_manifest_and_names_beyond_all_are_told_or_ignored(tmp_path: Path) -> None:
    directory, steps = laid_out(tmp_path)
    shutil.copy(directory / "rollup-1-00000-00000", directory / "rollup-1-00007-00000")
    shutil.copy(directory / "rollup-1-00000-00000", directory / "rollup-15-00000-999999999")
    follower = follow(directory)
    follower.refresh()
    found = follower.recording()
    assert found is not None
    assert found.steps.tolist() == steps
    assert len(found.levels) == 2
    assert follower.problems == (f"{directory.name}: rollup-1-00007-00000 cannot be read without a manifest",)


def test_an_unchanged_directory_is_only_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory, _ = laid_out(tmp_path)
    to_block(directory, Part(0, 0, 0))
    follower = follow(directory)
    follower.refresh()
    for module in (journals, logs, partindex):
        for name in ("open_file", "open_block"):
            monkeypatch.setattr(module, name, None, raising=False)
    assert not follower.refresh()


def test_a_journal_that_goes_between_listing_and_asking_is_no_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = made.write(tmp_path, [made.manifest(), *(made.snapshot(step) for step in range(PART_SNAPSHOTS + 3))])
    followed, is_block = follow(directory), index._is_block

    def goes(name: str) -> bool:
        if name == Part(0, 0, 1).journal:
            (directory / name).unlink()
        return is_block(name)

    monkeypatch.setattr(index, "_is_block", goes)
    assert followed.refresh()
    found = followed.recording()
    assert found is not None
    assert found.steps.tolist() == list(range(PART_SNAPSHOTS))
    assert followed.problems == ()
