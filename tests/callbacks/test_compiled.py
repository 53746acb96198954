from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from lightning_callbacks import compiled


def test_modules_inside_compiled_code() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.ReLU()), nn.Linear(2, 1))
    net[1] = torch.compile(net[1], backend="eager")  # type: ignore[assignment]
    inner = net[1].get_submodule("_orig_mod")
    assert compiled.inside(net) == {net[1], *inner.modules()}


def test_where_nothing_is_compiled_all_may_be(caplog: pytest.LogCaptureFixture) -> None:
    net = nn.Sequential(nn.Linear(2, 2))
    assert compiled.inside(net) == set(net.modules())
    assert "hand over what torch.compile returned" in caplog.text


def test_dynamo_is_not_imported_for_it() -> None:
    code = (
        "import sys; from lightning_callbacks import compiled\n"
        "with compiled.eager(): pass\n"
        "compiled.untouched(print)\n"
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "False", done.stderr
