"""The public trainings in ``examples/`` run with nothing but the one added line, and their record is whole."""

from __future__ import annotations

import logging
import runpy
import sys
import warnings
from pathlib import Path

import pytest
import torch

from dgm_tb.store.run import Run

EXAMPLES = Path(__file__).parents[2] / "examples"

#: Example -> some edges of its graph that must be there, and its programs' labels.
EXPECTED: dict[str, tuple[set[tuple[str, str]], set[str]]] = {
    "vae": (
        {("encoder.features.6", "encoder.mean"), ("encoder.features.6", "encoder.logvar"), ("randn", "mul"),
         ("add", "decoder.start"), ("decoder.grow.3", "loss")},
        {"encoder, decoder (Adam)"},
    ),
    "dcgan": (
        {("randn", "generator.0"), ("generator.7", "discriminator.0#1"), ("input[0]", "discriminator.0"),
         ("discriminator.6", "loss"), ("discriminator.6#1", "loss"), ("discriminator.6", "loss#1")},
        {"discriminator (Adam)", "generator (Adam)"},
    ),
    "gpt": (
        {("wte", "add"), ("wpe", "add"), ("h.0.attn.c_attn", "h.0.attn.attention"),
         ("h.0.attn.attention", "h.0.attn.c_proj"), ("drop", "h.0.add"), ("h.2.add#1", "ln_f"), ("ln_f", "lm_head")},
        {"wte, wpe, h … (AdamW)"},
    ),
    "lstm_lm": (
        {("embedding", "drop"), ("drop", "lstm"), ("lstm", "drop#1"), ("drop#1", "decoder"), ("decoder", "loss")},
        {"embedding, lstm, decoder (SGD)"},
    ),
    "diffusion": (
        {("unet.shrink", "unet.down2.norm1"), ("unet.time.mlp.2", "unet.down2.time"), ("unet.grow", "unet.cat"),
         ("unet.down1.add#1", "unet.cat"), ("unet.attention.norm", "unet.attention.attention"), ("randn", "loss")},
        {"time, first, down1 … (AdamW)"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPECTED)
def test_an_example_records_all_of_itself(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name, "--steps", "3"])
    random = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice about workers and intervals
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    torch.set_rng_state(random)
    assert [record.getMessage() for record in caplog.records if _ours(record)] == []
    edges, labels = EXPECTED[name]
    with Run(tmp_path / "lightning_logs" / "version_0") as run:
        assert run.problems == ()
        assert run.steps.tolist() == [0, 1, 2]
        assert run.graph is not None
        assert edges <= {(edge.source, edge.target) for edge in run.graph.edges}
        assert set(run.graph.programs.values()) == labels
        rows: dict[str, set[str]] = {}
        for key in run.keys:
            rows.setdefault(key.quantity, set()).add(key.node)
        modules = {node.name for node in run.graph.nodes if node.kind == "module"}
        assert rows["activation"] == rows["gradient"] == modules
        assert rows["weight"] == rows["weight_gradient"] == rows["update"]


def _ours(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING and record.name.startswith(("lightning_callbacks", "dgm_tb"))
