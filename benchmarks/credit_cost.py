"""What credit costs beside the user's own step and captum, and what recording a step costs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from captum.attr import IntegratedGradients, LayerConductance
from torch import Tensor, nn

from benchmarks.credit_pairs import Demo, Pair, ResNet18, pair_of
from benchmarks.tables import table
from benchmarks.trainings import CASES, adam, plain_step
from dgm_tb.replay.ask import Target
from dgm_tb.replay.credit import change_credit, path_of, value_credit
from dgm_tb.replay.integral import integrate
from dgm_tb.replay.parts import Credit
from dgm_tb.replay.path import Path as Line
from lightning_callbacks.demo_data import patches, standardised
from lightning_callbacks.tape import TapeMode

PROGRAM: Final = "backward#0"
#: Work that takes longer, in seconds, is done once, and a path over a large network may use so much.
LONG: Final = 5.0
LOSS: Final = Target("", PROGRAM, quantity="loss")


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median of ``repeats``, after one that is not counted."""
    work()
    spent = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        spent.append(time.perf_counter() - begun)
    return float(np.median(spent))


def one_pass(model: nn.Module, batch: Tensor) -> Callable[[], None]:
    """A forward and a backward of the user's own module."""

    def work() -> None:
        model.zero_grad()
        model(batch).backward()

    return work


def nodes(cases: Mapping[str, Pair], repeats: int) -> tuple[str, list[float]]:
    """A path node beside one pass of the module in its own precision, and in float64; their ratios in float32."""
    rows, ratios = [], []
    for name, pair in cases.items():
        own = seconds(one_pass(pair.model, pair.batch), repeats)
        precise = pair.batch.double() if pair.batch.is_floating_point() else pair.batch
        double = seconds(one_pass(pair.model.double(), precise), repeats)
        pair.model.float()
        cells = [name, f"{own * 1e3:.1f}", f"{double / own:.1f}"]
        for batch in ("same", "own"):
            line, _ = path_of(LOSS, pair.earlier, pair.later, batch=batch)
            for used in (line.single(), line):
                each, count = _node(used, repeats)
                ratios += [each / own] if used is not line else []
                cells.append(f"{each * 1e3:.1f}, **{each / own:.1f}**" + (f" ({count})" if used is line else ""))
        rows.append(cells)
    columns = (
        "same batch, float32: ms, ×",
        "float64: ms, × (nodes)",
        "own batches, float32: ms, ×",
        "float64: ms, × (nodes)",
    )
    return table(("model", "own pass, ms", "in float64, ×", *columns), rows), ratios


def _node(line: Line, repeats: int) -> tuple[float, int]:
    """Seconds a node of a whole first pass over the line takes, what its intervals' ends take included; nodes."""
    found = []
    spent = seconds(lambda: found.append(integrate(line, (0.0, 0.0), math.inf)), repeats)
    return spent / found[-1].nodes, found[-1].nodes


def demo(repeats: int, before: int = 60, between: int = 10) -> tuple[str, list[float]]:
    """Whole credits on the demo's model: a unit's change, the loss, a gradient, and captum; seconds of the changes."""
    images = standardised(patches())
    pair = pair_of(Demo, lambda: images[torch.randperm(len(images))[:32]], before, between)
    rows = []
    targets = [
        *(Target(f"model.vae.{name}", PROGRAM, (0,)) for name in ("encoder.variance2", "decoder.deconv4")),
        LOSS,
        Target("model.vae.encoder.variance2", PROGRAM, (0,), "gradient"),
    ]
    rows += [_credit(target, pair, batch, repeats) for target in targets for batch in ("same", "own")]
    node = Target("model.vae.encoder.variance2", PROGRAM, (0,))
    demo, x = pair.model, pair.batch
    assert isinstance(demo, Demo)
    encoder = demo.vae.encoder
    forward = _Head(encoder)
    integrated = IntegratedGradients(forward)
    layer = LayerConductance(forward, encoder.conv1)
    found: list[Credit] = []
    ours = seconds(lambda: found.append(value_credit(node, pair.later)), repeats)
    rows.append(
        ["variance2, unit 0", "value", f"**{ours:.2f}**", str(found[-1].nodes), "yes" if found[-1].converged else "no"]
    )
    for name, method in (("captum IntegratedGradients", integrated), ("captum LayerConductance, conv1 alone", layer)):
        spent = seconds(partial(method.attribute, x, torch.zeros_like(x), n_steps=found[-1].nodes), repeats)
        rows.append([f"same value, {name}", "value", f"{spent:.2f}", str(found[-1].nodes), "–"])
    columns = ("target", "batch", "s", "nodes", "converged")
    return table(columns, rows), [float(row[2].strip("*")) for row in rows if "captum" not in row[0]]


class _Head(nn.Module):
    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> Tensor:
        torch.manual_seed(0)
        _, (_, _, variance) = self.encoder(x)
        unit: Tensor = variance[:, 0].mean((1, 2))
        return unit


def _credit(target: Target, pair: Pair, batch: str, repeats: int) -> list[str]:
    found: list[Credit] = []

    def work() -> None:
        found.append(change_credit(target, pair.earlier, pair.later, batch=batch))

    begun = time.perf_counter()
    work()  # warms
    spent = time.perf_counter() - begun
    spent = seconds(work, repeats) if spent < LONG else spent
    name = "loss" if target.quantity == "loss" else f"{target.node.rpartition('.')[2]}, unit 0"
    name += ", gradient" if target.quantity == "gradient" else ""
    return [name, batch, f"**{spent:.2f}**", str(found[-1].nodes), "yes" if found[-1].converged else "no"]


def _changed(target: Target, pair: Pair, batch: str) -> Credit:
    return change_credit(target, pair.earlier, pair.later, batch=batch, progress=until(LONG))


def large(side: int = 64, samples: int = 8) -> tuple[str, list[float]]:
    """Targets on a ResNet of 11 million parameters: seconds, nodes and memory; the seconds of changes."""
    draws = torch.Generator().manual_seed(0)
    pair = pair_of(ResNet18, lambda: torch.randn(samples, 3, side, side, generator=draws), 1, 1)
    own = seconds(one_pass(pair.model, pair.batch), 3)
    rows = [["own forward and backward", "", f"{own:.2f}", "–", "–", "–"]]
    value = Target("model.fc", PROGRAM, (0,))
    work: dict[tuple[str, str], Callable[[], Credit]] = {
        ("logit 0", "value"): lambda: value_credit(value, pair.later, progress=until(LONG)),
        **{
            (name, f"change, {batch}"): partial(_changed, target, pair, batch)
            for name, target in (("logit 0", value), ("loss", LOSS))
            for batch in ("same", "own")
        },
    }
    for (target, kind), make in work.items():
        credit, spent, peak = measured(make)
        rows.append([target, kind, f"**{spent:.1f}**", str(credit.nodes), _gap(credit), f"{peak:.0f}"])
    for name, attribute in (("IntegratedGradients", IntegratedGradients), ("LayerConductance", LayerConductance)):
        resnet, steps = pair.model, int(rows[1][3])
        assert isinstance(resnet, ResNet18)
        places = () if name == "IntegratedGradients" else (resnet.blocks[3],)
        explain = attribute(_Logits(resnet), *places).attribute
        nothing = torch.zeros_like(pair.batch)
        _, spent, peak = measured(partial(explain, pair.batch, nothing, target=0, n_steps=steps))
        rows.append([f"captum {name}, float32", "value", f"{spent:.1f}", str(steps), "–", f"{peak:.0f}"])
    columns = ("target", "method", "s", "nodes", "gap / allowed", "peak MiB above before")
    return table(columns, rows), [float(row[2].strip("*")) for row in rows if row[1].startswith("change")]


class _Logits(nn.Module):
    def __init__(self, model: ResNet18) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model.logits(x)


def until(limit: float) -> Callable[[int], bool]:
    """More nodes as long as ``limit`` seconds are not over."""
    begun = time.perf_counter()
    return lambda nodes: time.perf_counter() - begun < limit


def _gap(credit: Credit) -> str:
    allowed = 1e-3 * max(abs(credit.change), 1e-6 * (abs(credit.before) + abs(credit.after)))
    return f"{credit.gap / allowed:.2g}"


def measured(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """A result, its seconds, and by how many MiB this process grew meanwhile at most (NaN where nobody tells)."""
    status = Path("/proc/self/status")
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _status(status, "VmRSS")
    begun = time.perf_counter()
    made = work()
    return made, time.perf_counter() - begun, _status(status, "VmHWM") - before


def _status(file: Path, name: str) -> float:
    if not file.exists():
        return float("nan")
    line = next(line for line in file.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


def recording(repeats: int) -> str:
    """One step under the tape beside a plain one."""
    rows = []
    for case in CASES:
        torch.manual_seed(0)
        model, batch = case.model(), case.batch()
        optimizer = adam(model)
        plain = plain_step(model, batch, optimizer)
        modules = {name: part for name, part in model.named_modules() if name and not list(part.children())}
        ratios, ops = [], 0
        for _ in range(repeats + 1):
            spent = seconds(plain, 3)
            begun = time.perf_counter()
            mode = TapeMode(model, modules, {part: name for name, part in modules.items()}, max_bytes=1 << 30)
            with mode:
                mode.batch(batch)
                optimizer.zero_grad()
                loss = model(batch)
                mode.loss(loss, 0)
                loss.backward()
                optimizer.step()
            ops = len(mode.recorded(0, {}).tape.ops)
            ratios.append((time.perf_counter() - begun) / spent)
        kept = ratios[1:]
        rows.append(
            [
                case.name,
                str(ops),
                f"{spent * 1e3:.0f}",
                f"**{np.median(kept):.1f}** ({min(kept):.1f} … {max(kept):.1f})",
            ]
        )
    return table(("model", "ops kept", "plain step, ms", "recorded step, ×"), rows)


def run(repeats: int) -> str:
    cases = {case.name: pair_of(case.model, case.batch, 3, 2) for case in CASES}
    images = standardised(patches())
    cases["demo's VAE, batch 32"] = pair_of(Demo, lambda: images[torch.randperm(len(images))[:32]], 3, 2)
    each, ratios = nodes(cases, repeats)
    whole, spent = demo(max(1, repeats // 2))
    big, waited = large()
    return (
        "**Cost of a path node**, target the loss: value, gradient to every unit and weight, the units' movement, and "
        "its share of the forward passes at the ends of intervals. Beside it one forward and backward of the module's "
        "own code on the same batch. Credit runs in float32 where rounding does not show.\n\n"
        f"{each}\n\n"
        "**A whole credit on the demo's model** after 60 steps, 10 steps apart, warm:\n\n"
        f"{whole}\n\n"
        "**A ResNet-18 of 11 million parameters**, 8 images of 64 × 64; no new interval of the path is begun after "
        f"{LONG:.0f} s. A value's path begins at black images, where every batch norm jumps:\n\n"
        f"{big}\n\n"
        "**Recording**: one step under the tape, numbers copied, tape made; it is written off the training thread.\n\n"
        f"{recording(repeats)}\n\n"
        "**Goals**:\n\n"
        + "\n".join(
            (
                _goal("a path node beside its own forward and backward, worst", max(ratios), 1.5, "×"),
                _goal("a target on the demo's model, warm, slowest", max(spent), 0.3, "s"),
                _goal("a change on the ResNet of 11 million parameters, slowest", max(waited), 5.0, "s"),
            )
        )
    )


def _goal(what: str, found: float, limit: float, unit: str) -> str:
    return f"- {what}: {found:.2f} {unit}, {'met' if found <= limit else '**missed**'} (≤ {limit} {unit})"
