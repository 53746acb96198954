from __future__ import annotations

import shutil
from pathlib import Path

from dgm_tb.records import Graph
from dgm_tb.store.index import SessionIndex
from dgm_tb.store.losses import combine
from tests.store import made


def follow(directory: Path) -> SessionIndex:
    return SessionIndex(directory, made.SESSION, 0, inode=1)


def test_it_knows_what_was_written_and_when_nothing_is_new(tmp_path: Path) -> None:
    directory = made.write(
        tmp_path, [made.manifest(), made.GRAPH, made.snapshot(0), made.table([0, 1]), made.snapshot(5)]
    )
    index = follow(directory)
    assert index.recording() is None
    assert index.refresh()
    assert not index.refresh()
    found = index.recording()
    assert found is not None
    assert found.manifests == (made.manifest(),)
    assert found.graph == made.GRAPH
    assert found.steps.tolist() == [0, 5]
    assert found.frame.tolist() == [0, 1]
    assert found.end is not None
    assert found.last_wall_time == made.BEGAN + 5
    assert index.problems == ()


def test_a_graphs_id_is_the_graphs(tmp_path: Path) -> None:
    ids = []
    for number, graph in enumerate((made.GRAPH, made.GRAPH, Graph(1, made.NODES, ()))):
        index = follow(made.write(tmp_path / str(number), [made.manifest(), graph]))
        index.refresh()
        found = index.recording()
        assert found is not None
        ids.append(found.graph_id)
    assert ids[0] == ids[1] != ids[2]


def test_many_flushes_are_kept_as_one_table(tmp_path: Path) -> None:
    tables = [made.table([step, step + 1], loss=float(step)) for step in range(600)]
    index = follow(made.write(tmp_path, [made.manifest(), *tables]))
    index.refresh()
    found = index.recording()
    assert found is not None
    assert found.table.values.tolist() == combine(tables).values.tolist()


def test_losses_are_there_without_a_readable_manifest(tmp_path: Path) -> None:
    directory = made.write(tmp_path, [made.manifest(), made.snapshot(0), made.table([0, 1])])
    (directory / "segment-00000").write_bytes(b"")
    index = follow(directory)
    index.refresh()
    found = index.recording()
    assert found is not None
    assert len(found.table.values) == 2
    assert found.created == made.BEGAN  # from its name
    assert index.problems == (f"{directory.name}: journal-00000-00000 cannot be read without a manifest",)


def test_files_put_in_the_place_of_others_are_read_anew(tmp_path: Path) -> None:
    directory = made.write(tmp_path / "a", [made.manifest(), made.snapshot(0), made.snapshot(1)])
    index = follow(directory)
    index.refresh()
    before = index.recording()
    shutil.rmtree(directory)
    shutil.copytree(made.write(tmp_path / "b", [made.manifest(), made.snapshot(7)]), directory)
    assert index.refresh()
    after = index.recording()
    assert before is not None
    assert after is not None
    assert after.steps.tolist() == [7]
    assert after.journals[0].identity != before.journals[0].identity


def test_a_record_in_the_wrong_file_is_a_sentence(tmp_path: Path) -> None:
    directory = made.write(tmp_path, [made.manifest(), made.table([0])])
    shutil.copy(directory / "end", directory / "steps")
    index = follow(directory)
    index.refresh()
    assert index.problems == (f"{directory.name}/steps: holds a sessionend, which does not belong there",)


def test_a_directory_that_vanished_is_a_sentence(tmp_path: Path) -> None:
    index = follow(tmp_path / "gone")
    assert index.refresh()
    assert index.problems == ("gone cannot be listed: No such file or directory",)
    assert not index.refresh()
