from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.queries.recorded import Recorded

# In a process of its own: in this one other tests have compiled everything.
SCRIPT = """
import importlib, pkgutil, sys
import dgm_tb.analysis
from dgm_tb.queries import density, layer
from dgm_tb.queries.warmth import compile_kernels
from dgm_tb.store.run import Run

def compiled():
    names = [f"dgm_tb.analysis.{module.name}" for module in pkgutil.iter_modules(dgm_tb.analysis.__path__)]
    kernels = [kernel for name in names for kernel in vars(importlib.import_module(name)).values()]
    return {(k.__module__, k.__name__, str(s)) for k in kernels if hasattr(k, "signatures") for s in k.signatures}

compile_kernels()
before = compiled()
with Run(sys.argv[1]) as run:
    layer.answer(run, layer.Request(".", "encoder.fc"))
    density.answer(run, density.Request(".", "decoder.fc"))
print(len(before), *(compiled() - before), sep="\\n")
"""


def test_after_it_a_question_compiles_nothing(recorded: Recorded) -> None:
    command = [sys.executable, "-c", SCRIPT, str(recorded.directory)]
    output = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    count, *more = output.stdout.splitlines()
    assert int(count) >= 3
    assert more == []
