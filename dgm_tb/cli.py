"""The command ``dgm-tb``. What a subcommand needs is imported when it runs: ``--help`` loads no torch."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console

from dgm_tb.commands.export import export
from dgm_tb.commands.inspect import inspect
from dgm_tb.commands.prune import prune
from dgm_tb.commands.verify import verify

#: TensorBoard's own default.
PORT: Final = 6006
#: How many ports above the wanted one are tried.
PORTS: Final = 100
#: Seconds a training gets to end by itself after it was asked to.
GRACE: Final = 10.0
#: What the demo's training imports, by package name.
NEEDED: Final = {"torch": "torch", "pytorch_lightning": "pytorch-lightning", "sklearn": "scikit-learn", "PIL": "pillow"}

#: The training is chaotic: one bit rounded otherwise is another failure a thousand steps later. These ask for
#: the same kernels on every x86-64 processor that has AVX2, so that the default seed's run has a chance to be the
#: same one there (seen on one machine only).
SAME_ROUNDING: Final = {"ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"}

Line = dict[str, Any]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dgm-tb")
def main() -> None:
    """DGM for TensorBoard: per-neuron training dynamics, live."""


main.add_command(inspect)
main.add_command(export)
main.add_command(verify)
main.add_command(prune)


@main.command()
@click.option(
    "--logdir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("runs/demo"),
    show_default=True,
    help="Where the demo's runs are kept; finished ones are shown again, not trained again.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    help="Where to serve; the next free one if it is taken.",
)
@click.option("--seed", type=int, default=None, help="Another seed: another course of the same failure.")
@click.option(
    "--healthy-too/--no-healthy",
    default=True,
    show_default=True,
    help="Train the healthy twin, whose log-variances are clamped, after the run that fails.",
)
@click.option("--serve/--no-serve", default=True, show_default=True, help="Serve TensorBoard, until Ctrl-C.")
@click.option("--fresh", is_flag=True, help="Train again, even what is there already.")
def demo(logdir: Path, port: int, seed: int | None, healthy_too: bool, serve: bool, fresh: bool) -> None:
    """Train a small VAE that really ends in NaN, and watch why, live in TensorBoard's DGM tab."""
    _require_demo_packages()
    arguments = [
        str(logdir),
        *([] if seed is None else ["--seed", str(seed)]),
        *(["--fresh"] if fresh else []),
        *([] if healthy_too else ["--no-healthy"]),
    ]
    console = Console(highlight=False)
    with contextlib.suppress(KeyboardInterrupt), _training(arguments) as process:
        with console.status("starting the training …") as status:
            for number, line in enumerate(_lines(process)):
                if number == 0 and serve and line["state"] != "refused":
                    # Not before there is a run: TensorBoard asks once whether a tab has anything to show.
                    _serve(logdir, port, console)
                said = SAID[line["state"]](line)
                status.update(said) if line["state"] == "training" else console.print(said)
        if code := process.wait():
            raise SystemExit(code)
        if serve:
            console.print("Trainings done. TensorBoard goes on; Ctrl-C ends it.")
            threading.Event().wait()


def _require_demo_packages() -> None:
    missing = [package for module, package in NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise click.ClickException(
            f"the demo also needs {', '.join(missing)}; install with: pip install 'dgm-tb[demo]'"
        )


@contextlib.contextmanager
def _training(arguments: list[str]) -> Iterator[subprocess.Popen[str]]:
    """The training as a process of its own, which does not outlive the block.

    It stands in its own session, so that Ctrl-C reaches it once, through us, and it can close its files.
    """
    command = [sys.executable, "-m", "lightning_callbacks.demo", *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True, env={**os.environ, **SAME_ROUNDING}
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()


def _lines(process: subprocess.Popen[str]) -> Iterator[Line]:
    """The training's progress lines, until it ends."""
    assert process.stdout is not None
    yield from map(json.loads, process.stdout)


def _ended(line: Line) -> str:
    if isinstance(line["loss"], str):
        return f"[bold red]{line['run']}[/]: the loss became {line['loss']} at step {line['step']:,}, by itself"
    return f"[bold green]{line['run']}[/]: went through {line['step']:,} steps, loss {line['loss']:,.0f}"


#: What each state of a progress line is to a person.
SAID: Final[dict[str, Callable[[Line], str]]] = {
    "training": lambda line: (
        f"{line['run']}: step {line['step']:,} (at most {line['max_steps']:,}), loss {line['loss']}"
    ),
    "ended": _ended,
    "kept": lambda line: f"{line['run']}: finished before, kept (--fresh trains again)",
    "elsewhere": lambda line: f"{line['run']}: being trained by another process just now, left to it",
    "refused": lambda line: f"[bold red]{line['message']}[/]",
}


def _serve(logdir: Path, wanted: int, console: Console) -> None:
    """Serves TensorBoard from a thread of this process and prints its address."""
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    from tensorboard import default, program

    port = free_port(wanted)
    if port != wanted and wanted:
        console.print(f"Port {wanted} is taken; {port} is free.")
    logdir.mkdir(parents=True, exist_ok=True)
    server = program.TensorBoard(default.get_plugins())
    server.configure(argv=["tensorboard", "--logdir", str(logdir), "--port", str(port), "--reload_interval", "5"])
    console.print(f"[bold]{server.launch()}#dgm[/]  ← the DGM tab, live; Ctrl-C ends it all")


def free_port(wanted: int) -> int:
    """The first port from ``wanted`` on that nobody listens on; any free one for 0."""
    for port in range(wanted, min(wanted + PORTS, 65536)):
        with socket.socket() as probe:
            # As TensorBoard's server binds: a port in TIME_WAIT is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("localhost", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise click.ClickException(f"no port from {wanted} to {wanted + PORTS} is free: name another with --port")
