"""The document of figures: a benchmark replaces its own section and nothing else."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from benchmarks import __main__ as command

DOCUMENT = "# Figures\n\nIntroduction.\n\n## Capture\n\nold capture\n\n### Detail\n\nx\n\n## Store\n\nold store\n"


def test_only_the_section_itself_is_replaced() -> None:
    assert command.replace_section(DOCUMENT, "Capture", "new\n") == (
        "# Figures\n\nIntroduction.\n\n## Capture\n\nnew\n\n## Store\n\nold store\n"
    )
    assert command.replace_section(DOCUMENT, "Store", "new") == DOCUMENT.replace("old store", "new")


def test_a_new_section_is_added_at_the_end_and_writing_twice_changes_nothing() -> None:
    once = command.replace_section(DOCUMENT, "Tab", "new")
    assert once == f"{DOCUMENT}\n## Tab\n\nnew\n"
    assert command.replace_section(once, "Tab", "new") == once
    assert command.replace_section(once, "Store", "old store") == once


def test_the_command_writes_circumstances_and_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    document = tmp_path / "benchmarks.md"
    monkeypatch.setattr(command, "DOCUMENT", document)
    monkeypatch.setattr("benchmarks.sampling.run", lambda: "| a table |")
    command.main(["sampling"])
    written = document.read_text()
    assert "## Sampling\n\n`python -m benchmarks sampling` on " in written
    assert "numpy " in written
    assert "| a table |" in written
    assert "| a table |" in capsys.readouterr().out


@pytest.mark.parametrize("module", command.BENCHMARKS.values())
def test_every_benchmark_is_what_the_command_expects(module: str) -> None:
    benchmark = importlib.import_module(module)
    assert isinstance(benchmark.HEADING, str)
    assert command.circumstances("x", benchmark.PACKAGES)
    assert callable(benchmark.run)
