"""Deep snapshots on disk, also those that somebody tampered with."""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dgm_tb.errors import FormatError
from dgm_tb.replay import deep
from dgm_tb.replay.credit import Step
from lightning_callbacks.deep import RING, Keeper
from tests.callbacks.networks import Mlp
from tests.replay.steps import two_steps


def kept(session: Path, *steps: Step, lasting: bool = True) -> None:
    keeper = Keeper(session, 1 << 30)
    for step in steps:
        assert keeper.keep(step.tape, step.tensors, lasting=lasting) > 0


@pytest.fixture(scope="module")
def steps() -> tuple[Step, Step]:
    return two_steps(Mlp)


def test_what_was_kept_is_listed_and_read(tmp_path: Path, steps: tuple[Step, Step]) -> None:
    kept(tmp_path, *steps)
    found = deep.listing(tmp_path)
    assert [one.step for one in found] == [0, 3]
    assert deep.read_tape(found[1]) == steps[1].tape
    for key, tensor in steps[1].tensors.items():
        np.testing.assert_array_equal(deep.read_array(found[1], key), tensor.numpy())
    assert deep.check_tensors(found[0]) == sum(t.numel() * t.element_size() for t in steps[0].tensors.values())


def test_half_precision_is_widened(tmp_path: Path, steps: tuple[Step, Step]) -> None:
    values = torch.tensor([1.5, -3.0, float("inf")], dtype=torch.bfloat16)
    Keeper(tmp_path, 1 << 30).keep(steps[0].tape, {"x": values}, lasting=True)
    np.testing.assert_array_equal(deep.read_array(deep.listing(tmp_path)[0], "x"), values.float().numpy())


def test_only_the_latest_of_the_ring_stay(tmp_path: Path, steps: tuple[Step, Step]) -> None:
    keeper = Keeper(tmp_path, 1 << 30)
    for step in range(6):
        keeper.keep(replace(steps[0].tape, step=step), steps[0].tensors, lasting=step == 1)
    assert [one.step for one in deep.listing(tmp_path)] == [1, *range(6 - RING, 6)]


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path, steps: tuple[Step, Step]) -> None:
    (tmp_path / deep.FOLDER).write_text("a file in its way")
    with pytest.raises(FileExistsError):
        kept(tmp_path, steps[0])
    assert deep.listing(tmp_path) == ()


def test_links_and_strangers_are_not_listed(tmp_path: Path, steps: tuple[Step, Step]) -> None:
    (tmp_path / "real").mkdir()
    kept(tmp_path / "real", steps[0])
    folder = tmp_path / "session" / deep.FOLDER
    folder.mkdir(parents=True)
    (folder / "000000000007").symlink_to(tmp_path / "real" / deep.FOLDER / "000000000000")
    (folder / "000000000008").mkdir()
    (folder / "nonsense").mkdir()
    (folder / ".000000000009").mkdir()
    assert deep.listing(tmp_path / "session") == ()


def test_a_link_in_place_of_a_file_is_not_followed(tmp_path: Path, steps: tuple[Step, Step]) -> None:
    kept(tmp_path, steps[0])
    found = deep.listing(tmp_path)[0]
    secret = tmp_path / "secret"
    (found.path / deep.TAPE).rename(secret)
    (found.path / deep.TAPE).symlink_to(secret)
    with pytest.raises(FormatError, match="cannot be read"):
        deep.read_tape(found)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"short", struct.pack("<Q", 1 << 60), struct.pack("<Q", 2) + b"[]", struct.pack("<Q", 9) + b'{"x":{}} ',
        struct.pack("<Q", 61) + b'{"x":{"dtype":"F32","shape":[9],"data_offsets":[0,99999999]}}',
        struct.pack("<Q", 61) + b'{"x":{"dtype":"OBJ","shape":[1],"data_offsets":[0,4]}}       ' + bytes(4),
    ],
)  # fmt: skip
def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path, steps: tuple[Step, Step], content: bytes) -> None:
    kept(tmp_path, steps[0])
    found = deep.listing(tmp_path)[0]
    (found.path / deep.TENSORS).write_bytes(content)
    with pytest.raises(FormatError):
        deep.read_array(found, "x")


@settings(deadline=None)
@given(at=st.integers(0, 400), bit=st.integers(0, 7))
def test_flipped_bits_in_the_header_raise_nothing_else(at: int, bit: int) -> None:
    with TemporaryDirectory() as name:
        step = _STEP
        Keeper(Path(name), 1 << 30).keep(step.tape, step.tensors, lasting=True)
        found = deep.listing(Path(name))[0]
        data = bytearray((found.path / deep.TENSORS).read_bytes())
        data[at] ^= 1 << bit
        (found.path / deep.TENSORS).write_bytes(data)
        for key in step.tensors:
            with suppress(FormatError):
                assert deep.read_array(found, key).nbytes <= len(data)


_STEP = two_steps(Mlp)[0]
