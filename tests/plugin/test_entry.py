from __future__ import annotations

import argparse
import subprocess
import sys

import pytest

from dgm_tb.plugin.entry import DgmLoader

# Imported by every start of TensorBoard, with or without a run of ours.
HEAVY = ("numpy", "numba", "scipy", "torch", "werkzeug", "google_crc32c", "lightning")


def loaded(statement: str) -> set[str]:
    """The top-level packages that a fresh interpreter has loaded after ``statement``."""
    code = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())


def test_importing_the_entry_point_loads_nothing_heavy() -> None:
    assert loaded("import dgm_tb.plugin.entry").isdisjoint(HEAVY)


def test_making_the_plugin_loads_neither_numba_nor_torch() -> None:
    packages = loaded("import dgm_tb.plugin.app")
    assert packages.isdisjoint({"numba", "scipy", "torch", "google_crc32c", "lightning"})


def test_all_questions_are_answered_without_torch() -> None:
    nouns = "runs, loss, graph, aggregates, layer, density, neuron"
    assert loaded(f"from dgm_tb.queries import {nouns}").isdisjoint({"torch", "lightning", "werkzeug", "grpc"})


@pytest.mark.parametrize("statement", ["import numba", "import werkzeug"])
def test_the_probe_can_fail(statement: str) -> None:
    assert not loaded(statement).isdisjoint(HEAVY)


@pytest.mark.parametrize(("given", "kept"), [({}, 1), ({"dgm": 7}, 7)])
def test_tensorboard_keeps_one_tensor_a_tag_unless_told_otherwise(given: dict[str, int], kept: int) -> None:
    flags = argparse.Namespace(samples_per_plugin=given | {"images": 3})
    DgmLoader().fix_flags(flags)
    assert flags.samples_per_plugin == {"dgm": kept, "images": 3}
