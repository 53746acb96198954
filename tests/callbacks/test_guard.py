from __future__ import annotations

import pytest

from lightning_callbacks.guard import Guard


def test_the_first_failure_is_kept_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    guard = Guard()
    for error in (ValueError("first"), OSError("second")):
        with guard:
            raise error
    assert str(guard.failure) == "first"
    assert caplog.text.count("the training goes on") == 1
    assert "ValueError: first" in caplog.text


def test_a_full_disk_is_told_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    Guard().failed(OSError("no space left"))
    assert "free some space, or record elsewhere with log_dir=" in caplog.text


def test_what_ends_the_program_passes() -> None:
    guard = Guard()
    with pytest.raises(KeyboardInterrupt), guard:
        raise KeyboardInterrupt
    assert guard.failure is None


def test_guards_nest() -> None:
    guard = Guard()
    with guard, guard:
        raise ValueError
    assert isinstance(guard.failure, ValueError)
