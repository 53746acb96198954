"""dgm_tb.cli: what a person sees and the process does; the real training stands in tests/integration/test_demo.py."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from dgm_tb import cli


@pytest.mark.parametrize("command", cli.main.commands)
def test_help_loads_nothing_heavy(command: str) -> None:
    code = (
        "import sys; from click.testing import CliRunner; from dgm_tb import cli; "
        f"result = CliRunner().invoke(cli.main, [{command!r}, '--help']); assert result.exit_code == 0, result.output; "
        "heavy = ('torch', 'lightning_callbacks', 'tensorboard', 'sklearn', 'numba', 'numpy'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.parametrize("command", cli.main.commands)
def test_every_option_has_a_help_text_and_every_argument_is_explained(command: str) -> None:
    said = cli.main.commands[command]
    for parameter in said.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
        else:
            assert str(parameter.human_readable_name) in (said.help or ""), parameter.name


def test_a_missing_package_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sklearn" else real(name))
    result = CliRunner().invoke(cli.main, ["demo", "--no-serve"])
    assert result.exit_code == 1
    assert "scikit-learn" in result.output
    assert "torch" not in result.output
    assert "pip install 'dgm-tb[demo]'" in result.output


@pytest.fixture
def taken() -> Iterator[int]:
    """A port somebody listens on."""
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_taken_port_gives_the_next_free_one(taken: int) -> None:
    port = cli.free_port(taken)
    assert taken < port < taken + cli.PORTS
    with socket.socket() as probe:
        probe.bind(("localhost", port))


def test_port_zero_gives_any_free_one() -> None:
    assert cli.free_port(0) > 0


def test_no_free_port_is_an_error_that_names_the_option(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "PORTS", 1)
    with pytest.raises(click.ClickException, match=f"{taken}.*--port"):
        cli.free_port(taken)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"state": "ended", "run": "unclamped", "step": 1234, "loss": "nan"}, "nan at step 1,234"),
        ({"state": "ended", "run": "clamped", "step": 1234, "loss": 567.8}, "1,234 steps, loss 568"),
        ({"state": "training", "run": "clamped", "step": 1, "max_steps": 9, "loss": "inf"}, "step 1"),
        ({"state": "kept", "run": "clamped"}, "--fresh"),
        ({"state": "elsewhere", "run": "clamped"}, "another process"),
        ({"state": "refused", "message": "no"}, "no"),
    ],
)
def test_every_state_has_a_sentence(line: cli.Line, said: str) -> None:
    assert said in cli.SAID[line["state"]](line)
