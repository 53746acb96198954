"""Runs one benchmark and replaces its section of docs/benchmarks.md."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

DOCUMENT: Final = Path(__file__).parents[1] / "docs" / "benchmarks.md"
TITLE: Final = "# Benchmarks\n\nEach section is written by the command that it names.\n"

#: Name on the command line -> module with ``HEADING`` and ``PACKAGES`` (whose versions matter) and a ``run()`` that
#: returns the section's Markdown.
BENCHMARKS: Final = {
    "capture": "benchmarks.capture",
    "credit": "benchmarks.credit",
    "ranking": "benchmarks.ranking",
    "sampling": "benchmarks.sampling",
    "store": "benchmarks.store",
}


def replace_section(document: str, heading: str, body: str) -> str:
    """``document`` with the section under ``## heading`` exchanged, or added at the end; all else stays as it is."""
    section = f"## {heading}\n\n{body.strip()}\n"
    pattern = re.compile(rf"^## {re.escape(heading)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    found = pattern.search(document)
    if found is None:
        return f"{document.rstrip()}\n\n{section}"
    rest = document[found.end() :]
    return document[: found.start()] + section + ("\n" + rest if rest else "")


def circumstances(name: str, packages: Sequence[str]) -> str:
    """The command, the machine and the versions that a table holds for."""
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    return (
        f"`python -m benchmarks {name}` on {_processor()}, {os.cpu_count()} cores; {platform.system()}, "
        f"Python {platform.python_version()}, {versions}."
    )


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.*)$", information.read_text(), re.MULTILINE) if information.exists() else []
    return str(names[0]) if names else platform.processor() or platform.machine()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=sorted(BENCHMARKS))
    parser.add_argument("--full", action="store_true", help="with the long part too, of a benchmark that has one")
    chosen = parser.parse_args(arguments)
    name, full = chosen.name, chosen.full
    module = importlib.import_module(BENCHMARKS[name])
    if full and not hasattr(module, "run_in_full"):
        parser.error(f"{name} has no long part: leave out --full")
    measured = module.run_in_full() if full else module.run()
    body = f"{circumstances(f'{name} --full' if full else name, module.PACKAGES)}\n\n{measured}"
    print(body)
    # Read as late as possible: another benchmark may have written meanwhile.
    document = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.exists() else TITLE
    DOCUMENT.write_text(replace_section(document, module.HEADING, body), encoding="utf-8")


if __name__ == "__main__":
    main()
