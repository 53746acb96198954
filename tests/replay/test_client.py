"""The worker as the server sees it: asked, restarted, given up, superseded."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from dgm_tb.errors import UsageError
from dgm_tb.replay import client as clients
from dgm_tb.replay import deep
from dgm_tb.replay.ask import Change, CreditAsked, OriginAsked, ReplayAsked, Target
from dgm_tb.replay.client import Client, Reply
from dgm_tb.replay.credit import change_credit
from dgm_tb.replay.parts import unpacked
from lightning_callbacks.deep import Keeper
from tests.callbacks.networks import Cnn, Mlp
from tests.replay.steps import two_steps
from tests.waiting import until

PROGRAM = "backward#0"


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with Client() as made:
        yield made


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("session")
    for step in two_steps(Mlp):
        Keeper(path, 1 << 30).keep(step.tape, step.tensors, lasting=True)
    return path


def asked(session: Path, units: tuple[int, ...] = (0,), batch: str = "same") -> CreditAsked:
    earlier, later = (str(one.path) for one in deep.listing(session))
    return CreditAsked(Target("last", PROGRAM, units), later, earlier, batch=batch)


def test_credit_comes_from_the_worker_as_it_is_here(client: Client, session: Path) -> None:
    answer = client.wait(asked(session))
    here = change_credit(Target("last", PROGRAM, (0,)), *two_steps(Mlp), batch="same")
    np.testing.assert_array_equal(answer.arrays["units/act"], here.units["act"])
    assert unpacked(here.target, answer.fields, answer.arrays).change == here.change


def test_an_answer_is_kept(client: Client, session: Path) -> None:
    first = client.wait(asked(session))
    assert client.ask(asked(session)) == Reply("done", nodes=client.ask(asked(session)).nodes, answer=first)


def test_replays_and_origins(client: Client, session: Path) -> None:
    later = str(deep.listing(session)[1].path)
    outcome = client.wait(ReplayAsked(Target("last", PROGRAM, (0,)), later, (Change("clamp", "last", (), -1, 1),)))
    assert {"target_before", "target_after", "loss_before", "loss_after"} == outcome.arrays.keys()
    assert client.wait(OriginAsked(later, PROGRAM)).fields["origin"] is None


def test_what_cannot_be_answered_is_said(client: Client, session: Path) -> None:
    with pytest.raises(UsageError, match="has no unit 99"):
        client.wait(asked(session, (99,)))
    with pytest.raises(UsageError, match="is gone"):
        client.wait(OriginAsked(str(session / "deep" / "000000000099"), PROGRAM))


def test_a_hostile_tape_is_refused(client: Client, tmp_path: Path) -> None:
    step, _ = two_steps(Mlp)
    Keeper(tmp_path, 1 << 30).keep(step.tape, step.tensors, lasting=True)
    path = deep.listing(tmp_path)[0].path
    tape = path / deep.TAPE
    tape.write_bytes(tape.read_bytes().replace(b"aten.relu.default", b"aten.from_file.default"))
    with pytest.raises(UsageError, match="not among the ops"):
        client.wait(OriginAsked(str(path), PROGRAM))


def test_a_killed_worker_is_told_and_started_anew(session: Path) -> None:
    with Client() as client:
        client.wait(asked(session))
        assert client._process is not None
        os.kill(client._process.pid, signal.SIGKILL)
        assert client.wait(asked(session, (1,))).fields["nodes"] >= 3


def test_a_worker_that_dies_at_work_is_told(session: Path) -> None:
    command = (sys.executable, "-c", "import os, sys; sys.stdin.readline(); os.kill(os.getpid(), 9)")
    with Client(command=command) as client:
        assert client.ask(asked(session)).state == "running"
        until(lambda: client.ask(asked(session)).state == "failed")
        assert client.ask(asked(session)).state == "running"  # asked again, it is tried again


def test_a_worker_that_says_nonsense_is_told(session: Path) -> None:
    command = (sys.executable, "-c", "import sys; sys.stdin.readline(); sys.stdout.write('x' * 100)")
    with Client(command=command) as client, pytest.raises(UsageError, match="worker process ended"):
        client.wait(asked(session))


def test_one_that_never_answers_is_given_up(session: Path) -> None:
    now = [0.0]
    command = (sys.executable, "-c", "import time; time.sleep(600)")
    with Client(command=command, seconds=5, clock=lambda: now[0]) as client:
        assert client.ask(asked(session)).state == "running"
        now[0] = 6
        reply = client.ask(asked(session))
        assert reply.state == "failed"
        assert "longer than 5 s" in reply.message


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ("raise ImportError('libcudart.so not found')", "ImportError: libcudart.so not found"),
        ("1 / 0", "division by zero"),
    ],
)
def test_a_broken_torch_is_told_as_such_and_tried_again(
    broken: str, told: str, session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch").mkdir()
    package = tmp_path / "torch" / "__init__.py"
    package.write_text(broken)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Client() as client:
        with pytest.raises(UsageError, match=f"pip install torch.*{told}"):
            client.wait(asked(session))
        package.unlink()
        package.parent.rmdir()
        assert client.wait(asked(session)).fields["nodes"] >= 3


class Wide(Mlp):
    """Of 2²² weights: as float64, and with their derivatives, some hundred megabytes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 2048), nn.Linear(2048, 3)
        self.act: nn.Module = nn.Sequential(nn.Linear(2048, 2048), nn.ReLU())  # type: ignore[assignment]


def test_too_little_memory_is_said(session: Path, tmp_path: Path) -> None:
    with Client(memory=1 << 20) as client, pytest.raises(UsageError, match="PyTorch alone takes") as refusal:
        client.wait(asked(session))
    alone = int("".join(filter(str.isdigit, str(refusal.value).partition("bytes")[0])))
    for step in two_steps(Wide):
        Keeper(tmp_path, 1 << 30).keep(step.tape, step.tensors, lasting=True)
    with Client(memory=alone + (48 << 20)) as client:
        with pytest.raises(UsageError, match=f"needs more memory than the worker may use.*{clients.MEMORY}"):
            client.wait(asked(tmp_path))
        assert client.wait(asked(session)).fields["nodes"] >= 3  # it lives on


def test_without_torch_it_says_what_to_install(session: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "find_spec", lambda name: None)
    with Client() as client, pytest.raises(UsageError, match="pip install torch"):
        client.wait(asked(session))


def test_the_newest_of_one_asker_wins(tmp_path: Path) -> None:
    slow, quick = slow_and_quick(tmp_path)
    with Client() as client:
        assert client.ask(slow).state == "running"
        assert client.wait(quick).fields["origin"] is None
        assert client.ask(slow).state == "running"


def test_two_askers_both_get_their_answers(tmp_path: Path) -> None:
    slow, quick = slow_and_quick(tmp_path)
    with Client() as client:
        assert client.ask(slow, asker="one").state == "running"
        assert client.ask(quick, asker="other").state == "waiting"

        def both() -> bool:
            replies = [client.ask(slow, asker="one"), client.ask(quick, asker="other")]
            assert "failed" not in [reply.state for reply in replies]
            return all(reply.state == "done" for reply in replies)

        until(both)


def slow_and_quick(directory: Path) -> tuple[CreditAsked, OriginAsked]:
    for step in two_steps(Cnn):
        Keeper(directory, 1 << 30).keep(step.tape, step.tensors, lasting=True)
    earlier, later = (str(one.path) for one in deep.listing(directory))
    return CreditAsked(Target("head", PROGRAM, (0,), "gradient"), later, earlier), OriginAsked(later, PROGRAM)


def test_a_question_that_is_given_up_makes_way(session: Path) -> None:
    now = [0.0]
    command = (sys.executable, "-c", "import sys; [None for _ in sys.stdin]")
    first, second = asked(session), asked(session, (1,))
    with Client(command=command, seconds=5, clock=lambda: now[0]) as client:
        assert [client.ask(first, asker="a").state, client.ask(second, asker="b").state] == ["running", "waiting"]
        now[0] = 6
        assert [client.ask(second, asker="b").state, client.ask(first, asker="a").state] == ["running", "failed"]


@pytest.mark.parametrize("name", [clients.MEMORY, clients.SECONDS])
def test_a_limit_that_is_no_number_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "plenty")
    with pytest.raises(UsageError, match=name):
        Client()
