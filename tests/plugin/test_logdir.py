from __future__ import annotations

from pathlib import Path

import pytest

from dgm_tb.plugin.logdir import roots


def test_nothing_given_is_nothing_to_look_in() -> None:
    assert roots("", "") == {}


def test_a_log_directory_stands_for_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert roots("~/logs", "") == roots("logs", "") == roots(f"{tmp_path}/a/../logs", "") == {"": tmp_path / "logs"}


def test_a_specification_names_its_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    spec = f"first:~/a,second:{tmp_path}/b:c,{tmp_path}/d"
    assert roots("", spec) == {"first": tmp_path / "a", "second": tmp_path / "b:c", "": tmp_path / "d"}


def test_no_directory_of_a_specification_hides_another(tmp_path: Path) -> None:
    found = roots("", f"{tmp_path}/a,{tmp_path}/b,x:{tmp_path}/c,x:{tmp_path}/d,")
    assert sorted(found.values()) == [tmp_path / name for name in "abcd"]


@pytest.mark.parametrize(("logdir", "spec"), [("gs://bucket/x", ""), ("", "a:s3://bucket/x,hdfs://y")])
def test_urls_are_not_taken_for_paths(logdir: str, spec: str) -> None:
    assert roots(logdir, spec) == {}


def test_an_absolute_path_with_a_colon_has_no_name() -> None:
    assert roots("", "/foo:bar/baz") == {"": Path("/foo:bar/baz")}
