"""Credit adds up, is nothing where nothing changed, and agrees with ablation and with captum."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients, LayerConductance
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dgm_tb.errors import UnknownNameError, UsageError
from dgm_tb.replay.ask import TARGETS, Target
from dgm_tb.replay.credit import OF_VALUES, TOLERANCE, Step, after_credit, change_credit, value_credit
from dgm_tb.replay.machine import Machine
from dgm_tb.replay.parts import Credit
from tests.callbacks.networks import Cnn, Gan, Lstm, Mlp, Transformer, Vae
from tests.replay.steps import KINDS, Penalty, batch_of, network, optimizers_of, recorded, train, two_steps

PROGRAM = "backward#0"


def allowed(credit: Credit) -> float:
    return TOLERANCE * max(abs(credit.change), OF_VALUES * (abs(credit.before) + abs(credit.after)))


def drawn(step: Step, seed: int) -> Target:
    """A target that is not chosen by us."""
    chance = random.Random(seed)
    out = chance.choice([out for out in step.tape.outputs if out.program == PROGRAM])
    return Target(out.node, PROGRAM, (0,))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("batch", ["own", "same"])
def test_the_parts_add_up_to_the_change(kind: type[Any], batch: str) -> None:
    earlier, later = two_steps(kind)
    credit = change_credit(drawn(later, 20261124), earlier, later, batch=batch)
    assert credit.change == pytest.approx(credit.total, abs=credit.gap * 1.001 + 1e-12)
    assert credit.converged
    assert credit.gap <= allowed(credit)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_the_parts_add_up_over_kinks_and_their_jumps_too(seed: int) -> None:
    chance = random.Random(seed)
    earlier, later = two_steps(chance.choice([Mlp, Cnn, Vae, Penalty]), between=chance.randint(1, 4), seed=seed)
    out = chance.choice(later.tape.outputs)
    target = Target(out.node, PROGRAM, (0,), chance.choice(TARGETS))
    credit = change_credit(target, earlier, later, batch=chance.choice(["own", "same"]))
    assert credit.converged
    assert abs(credit.change - credit.total) <= max(1.001 * allowed(credit), 1e-12)


def test_what_did_not_converge_says_so() -> None:
    earlier, later = two_steps(Mlp)
    target = Target("first", PROGRAM, (1,), "gradient")
    credit = change_credit(target, earlier, later, tolerance=1e-12, progress=lambda _: False)
    assert not credit.converged
    assert credit.gap == pytest.approx(abs(credit.change - credit.total), rel=1e-3)
    assert credit.gap > 1e-12 * abs(credit.change)


def test_smooth_networks_converge_with_few_nodes() -> None:
    earlier, later = two_steps(Lstm)
    credit = change_credit(Target("head", PROGRAM, (1,)), earlier, later)
    assert credit.converged
    assert credit.nodes <= 12


@pytest.mark.parametrize("quantity", ["activation", "gradient", "loss"])
def test_each_quantity_adds_up(quantity: str) -> None:
    earlier, later = two_steps(Transformer)
    credit = change_credit(Target("head", PROGRAM, (0, 1), quantity), earlier, later, batch="same")
    assert credit.change != 0
    assert abs(credit.change - credit.total) <= 2 * allowed(credit)


@pytest.mark.parametrize("kind", [Mlp, Cnn, Lstm], ids=lambda kind: kind.__name__)
def test_identical_snapshots_give_nothing(kind: type[Any]) -> None:
    _, later = two_steps(kind)
    credit = change_credit(drawn(later, 3), later, later)
    assert (credit.change, credit.total, credit.gap) == (0, 0, 0)
    assert not any(part.any() for part in credit.units.values())


def test_the_targets_own_units_carry_the_whole_change_and_the_others_nothing() -> None:
    earlier, later = two_steps(Mlp)
    credit = change_credit(Target("last", PROGRAM, (1,)), earlier, later)
    own = credit.units["last"]
    assert own[1] == pytest.approx(credit.change, abs=2 * allowed(credit))
    assert own[0] == own[2] == 0


def test_a_layer_and_the_weights_above_it_share_the_change() -> None:
    earlier, later = two_steps(Mlp)
    credit = change_credit(Target("last", PROGRAM, (1,)), earlier, later)
    above = credit.parameters["last.weight"].sum() + credit.parameters["last.bias"].sum()
    assert credit.units["act"].sum() + above == pytest.approx(credit.change, abs=2 * allowed(credit))
    assert credit.units["first"].sum() == pytest.approx(credit.units["act"].sum(), abs=2 * allowed(credit))


def test_own_batches_credit_the_data_and_the_same_batch_only_the_weights() -> None:
    earlier, later = two_steps(Mlp)
    target = Target("last", PROGRAM, (0,))
    own, same = (change_credit(target, earlier, later, batch=batch) for batch in ("own", "same"))
    assert any(part.any() for part in own.inputs.values())
    assert not same.inputs
    assert own.samples.sum() == pytest.approx(own.change, abs=1e-9)
    assert same.samples.sum() == pytest.approx(same.change, abs=1e-9)


def test_tokens_change_at_once_and_are_told_apart() -> None:
    earlier, later = two_steps(Transformer)
    credit = change_credit(Target("head", PROGRAM, (0,)), earlier, later)
    assert credit.discrete != 0
    assert credit.total == pytest.approx(credit.change, abs=2 * allowed(credit))


def test_one_changed_weight_gets_all_of_it() -> None:
    module = network(Mlp)
    batch = batch_of(Mlp, 1)
    earlier, _ = recorded(module, batch, optimizers_of(module, 0.0))
    with torch.no_grad():
        module.first.weight[3] *= 1.5  # type: ignore[index, operator, union-attr]
    later, _ = recorded(module, batch, optimizers_of(module, 0.0), 1)
    credit = change_credit(Target("last", PROGRAM, (0,)), earlier, later)
    row = credit.parameters["first.weight"]
    assert row[3] == pytest.approx(credit.change, abs=2 * allowed(credit))
    assert np.count_nonzero(row) == 1
    others = [name for name, part in credit.parameters.items() if part.any() and name != "first.weight"]
    assert others == []


def test_it_orders_units_as_exact_ablation_does() -> None:
    """Restoring one unit of the layer before, and only that, undoes what it was credited with, nearly."""
    earlier, later = two_steps(Mlp, between=3)
    target = Target("last", PROGRAM, (0,))
    credit = change_credit(target, earlier, later, batch="same").units["act"]
    exact = [_ablated(earlier, later, target, unit) for unit in range(len(credit))]
    order = np.corrcoef(np.argsort(np.argsort(credit)), np.argsort(np.argsort(exact)))[0, 1]
    assert order >= 0.9


def _ablated(earlier: Step, later: Step, target: Target, unit: int) -> float:
    from dgm_tb.replay.ask import Change
    from dgm_tb.replay.counterfactual import replay

    outcome = replay(target, [Change("restore-units", "act", (unit,))], later, earlier)
    return outcome.target_before - outcome.target_after


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.act, self.last = nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.act(self.first(x)))
        return out

    def loss(self, batch: Any) -> Tensor:
        return self(batch[0]).square().mean()  # type: ignore[no-any-return]

    data = staticmethod(Mlp.data)


def test_value_credit_equals_captum() -> None:
    module = network(Plain)
    batch = batch_of(Plain, 1)
    step, _ = recorded(module, batch, optimizers_of(module, 0.0))
    credit = value_credit(Target("last", PROGRAM, (1,)), step, tolerance=1e-7)
    double = module.double()
    x = batch[0].double()
    inputs = IntegratedGradients(double).attribute(x, torch.zeros_like(x), target=1, n_steps=200)
    layer = LayerConductance(double, double.act).attribute(x, torch.zeros_like(x), target=1, n_steps=400)
    np.testing.assert_allclose(credit.inputs["[0]"], inputs.numpy() / len(x), atol=1e-5)
    np.testing.assert_allclose(credit.units["act"], layer.mean(0).detach().numpy(), atol=1e-4)
    assert credit.before == pytest.approx(double(torch.zeros_like(x))[:, 1].mean().item())


def test_value_credit_needs_an_input_that_can_fade() -> None:
    _, later = two_steps(Transformer)
    with pytest.raises(UsageError, match="change between two snapshots"):
        value_credit(Target("head", PROGRAM, (0,)), later)


@pytest.mark.parametrize("kind", [Mlp, Cnn, Gan], ids=lambda kind: kind.__name__)
def test_what_comes_after_adds_up_to_the_units_gradient(kind: type[Any]) -> None:
    module = network(kind)
    step, _ = recorded(module, batch_of(kind, 1), optimizers_of(module))
    node = {Mlp: "first", Cnn: "stem", Gan: "discriminator.0"}[kind]
    last = {Mlp: "last", Cnn: "head", Gan: "discriminator.2"}[kind]
    after = after_credit(Target(node, PROGRAM, (2,)), step)
    machine = Machine(step.tape, precise=True)
    from dgm_tb.replay.target import evaluate

    gradient = evaluate(Target(node, PROGRAM, (2,), "gradient"), machine, machine.sources(step.tensors))
    outs = step.tape.outputs_of(node, PROGRAM)
    values = machine.run(machine.sources(step.tensors), [(out.value, out.at) for out in outs])
    elements = sum(tensor.numel() // tensor.shape[out.axis] for out, tensor in zip(outs, values.values(), strict=True))
    assert after[node][2] == pytest.approx(gradient * elements, rel=1e-6)
    assert after[last].sum() == pytest.approx(gradient * elements, rel=1e-6)


def test_credit_of_randomised_weights_is_another() -> None:
    """The sanity check of Adebayo et al. 2018: what does not follow from the weights would not notice."""
    earlier, later = two_steps(Mlp, between=3)
    target = Target("last", PROGRAM, (0,))
    real = change_credit(target, earlier, later, batch="same").units["first"]
    generator = torch.Generator().manual_seed(0)
    shuffled = {
        key: torch.randn(tensor.shape, generator=generator) if key.startswith("parameter.") else tensor
        for key, tensor in later.tensors.items()
    }
    other = change_credit(target, earlier, replace(later, tensors=shuffled), batch="same").units["first"]
    assert abs(np.corrcoef(real, other)[0, 1]) < 0.9


def test_it_is_the_same_every_time() -> None:
    earlier, later = two_steps(Cnn)
    target = Target("head", PROGRAM, (0,))
    first, second = (change_credit(target, earlier, later) for _ in range(2))
    assert all(np.array_equal(part, second.units[node]) for node, part in first.units.items())


def test_feature_maps_have_their_places() -> None:
    earlier, later = two_steps(Cnn)
    credit = change_credit(Target("head", PROGRAM, (0,)), earlier, later)
    assert credit.maps["stem"].shape == (4, 6, 6)
    np.testing.assert_allclose(credit.maps["stem"].sum((1, 2)), credit.units["stem"])


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (Target("nowhere", PROGRAM, (0,)), "not on the tape"),
        (Target("last", "backward#9", (0,)), "has no program"),
        (Target("last", PROGRAM, (99,)), "has no unit 99"),
    ],
)
def test_what_is_not_there_is_named(target: Target, message: str) -> None:
    earlier, later = two_steps(Mlp)
    with pytest.raises(UnknownNameError, match=message):
        change_credit(target, earlier, later)


def test_shapes_that_differ_are_refused() -> None:
    earlier, _ = two_steps(Mlp)
    module = network(Mlp)
    later, _ = recorded(module, batch_of(Mlp, 3, size=4), optimizers_of(module), 9)
    with pytest.raises(UsageError, match="batch='same'"):
        change_credit(Target("last", PROGRAM, (0,)), earlier, later)
    assert change_credit(Target("last", PROGRAM, (0,)), earlier, later, batch="same").converged


def test_progress_is_told() -> None:
    earlier, later = two_steps(Cnn)
    told: list[int] = []

    def progress(nodes: int) -> bool:
        told.append(nodes)
        return nodes < 16

    target = Target("stem", PROGRAM, (1,), "gradient")
    credit = change_credit(target, earlier, later, batch="same", tolerance=1e-13, progress=progress)
    assert told == sorted(told)
    assert 16 <= told[-1] == credit.nodes


def test_a_program_of_several_is_credited_with_its_own_weights() -> None:
    module = network(Gan)
    optimizers = optimizers_of(module)
    earlier, _ = recorded(module, batch_of(Gan, 1), optimizers)
    train(module, batch_of(Gan, 2), optimizers)
    later, _ = recorded(module, batch_of(Gan, 3), optimizers, 2)
    credit = change_credit(Target("discriminator.2", "backward#1", (0,)), earlier, later)
    assert credit.converged
    assert credit.parameters["generator.0.weight"].any()


def test_what_lies_beside_the_way_to_the_target_is_left_out() -> None:
    earlier, later = two_steps(Vae)
    credit = change_credit(Target("mean", PROGRAM, (0,)), earlier, later, batch="same")
    assert credit.units.keys() == {"encoder.0", "encoder.1", "mean"}


class Linear(nn.Module):
    """Two linear layers of three units: everything about its credit can be written down."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 3), nn.Linear(3, 2)

    def loss(self, batch: Any) -> Tensor:
        return self.last(self.first(batch[0])).square().mean()  # type: ignore[no-any-return]

    data = staticmethod(Mlp.data)


@given(seed=st.integers(0, 999), unit=st.integers(0, 1))
@settings(max_examples=15, deadline=None)
def test_a_linear_networks_credit_is_the_closed_form(seed: int, unit: int) -> None:
    """F = w₂·h + b₂ with h = W₁x̄ + b₁; along the line w₂ and h meet halfway (Simpson's rule is exact for a cubic)."""
    earlier, later = two_steps(Linear, seed=seed)
    credit = change_credit(Target("last", PROGRAM, (unit,)), earlier, later, tolerance=1e-10)
    (w0, h0), (wm, hm), (w1, h1) = _linear(earlier, unit), _linear(earlier, unit, later), _linear(later, unit)
    rate_start, rate_middle, rate_end = 4 * hm - 3 * h0 - h1, h1 - h0, h0 - 4 * hm + 3 * h1  # h is quadratic
    units = (w0 * rate_start + 4 * wm * rate_middle + w1 * rate_end) / 6
    np.testing.assert_allclose(credit.units["first"], units.numpy(), rtol=1e-9, atol=1e-12)
    weights = (h0 + 4 * hm + h1) / 6 * (w1 - w0)
    assert credit.parameters["last.weight"][unit] == pytest.approx(weights.sum().item(), rel=1e-9, abs=1e-12)


def _linear(step: Step, unit: int, other: Step | None = None) -> tuple[Tensor, Tensor]:
    """The unit's weights and the mean of the hidden layer; halfway to ``other`` if there is one."""

    def number(key: str) -> Tensor:
        here = step.tensors[key].double()
        return here if other is None else (here + other.tensors[key].double()) / 2

    hidden = number("parameter.first.weight") @ number("input.[0]").mean(0) + number("parameter.first.bias")
    return number("parameter.last.weight")[unit], hidden


@given(order=st.permutations(range(8)))
@settings(max_examples=5, deadline=None)
def test_units_in_another_order_are_credited_in_that_order(order: list[int]) -> None:
    earlier, later = two_steps(Mlp)
    target = Target("last", PROGRAM, (0,))
    plain = change_credit(target, earlier, later, batch="same")
    moved = change_credit(target, *(_permuted(step, order) for step in (earlier, later)), batch="same")
    for node in ("first", "act"):
        np.testing.assert_allclose(moved.units[node], plain.units[node][order], rtol=1e-6, atol=1e-12)
    name = "first.weight"
    np.testing.assert_allclose(moved.parameters[name], plain.parameters[name][order], rtol=1e-6, atol=1e-12)


def _permuted(step: Step, order: list[int]) -> Step:
    along = {"parameter.first.weight": 0, "parameter.first.bias": 0, "parameter.last.weight": 1}
    tensors = {
        key: tensor.index_select(along[key], torch.tensor(order)) if key in along else tensor
        for key, tensor in step.tensors.items()
    }
    return replace(step, tensors=tensors)
