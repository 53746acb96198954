"""A tape run again has the bits of the step it was recorded from."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

from dgm_tb.replay.credit import Step
from dgm_tb.replay.machine import Machine, pair
from dgm_tb.replay.substitutes import UnknownOpError
from dgm_tb.replay.tape import Tape, dump, load
from lightning_callbacks.recorded import UnrecordableError
from lightning_callbacks.tape import TapeMode
from tests.callbacks.networks import Gan, Mlp
from tests.replay.steps import HARD, KINDS, Truth, batch_of, network, optimizers_of, recorded, train


def replayed(step: Step, index: int, *, precise: bool = False) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and parameter gradients of a program, run again."""
    machine = Machine(step.tape, precise)
    sources = machine.sources(step.tensors)
    parameters = {source.value: source for source in step.tape.sources if source.kind == "parameter"}
    live = {value: t.clone().requires_grad_(value in parameters) for value, t in sources.items()}
    program = step.tape.programs[index]
    loss = machine.run(live, [(program.loss, program.at)])[program.loss, program.at]
    loss.backward()
    found: dict[str, Tensor] = {}
    for value, source in parameters.items():
        gradient = live[value].grad
        if gradient is not None:
            found[source.name] = found[source.name] + gradient if source.name in found else gradient
    return loss.detach(), found


def assert_exact(step: Step, truth: Truth) -> None:
    for index, (loss, gradients) in enumerate(zip(truth.losses, truth.gradients, strict=True)):
        again, found = replayed(step, index)
        assert torch.equal(again, loss)
        assert found.keys() == gradients.keys()
        wrong = [name for name, gradient in gradients.items() if not torch.equal(found[name], gradient)]
        assert not wrong


@pytest.mark.parametrize("kind", [*KINDS, Gan], ids=lambda kind: kind.__name__)
def test_loss_and_gradients_are_bit_equal(kind: type[Any]) -> None:
    module = network(kind)
    optimizers = optimizers_of(module)
    train(module, batch_of(kind, 1), optimizers)  # a state of the optimizers, as in the middle of a training
    step, truth = recorded(module, batch_of(kind, 2), optimizers)
    assert len(step.tape.ops) > 3
    assert_exact(step, truth)


class Overwriting(nn.Module):
    """What the first layer gives is overwritten."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.act, self.last = nn.Linear(6, 8), nn.ReLU(inplace=True), nn.Linear(8, 3)

    def loss(self, batch: Any) -> Tensor:
        return self.last(self.act(self.first(batch[0]))).mean()  # type: ignore[no-any-return]  # modules give Any

    data = staticmethod(Mlp.data)


@pytest.mark.parametrize("precise", [False, True])
def test_a_value_that_is_written_into_later_stays_as_it_was_and_in_the_graph(precise: bool) -> None:
    module = network(Overwriting)
    step, _ = recorded(module, batch_of(Overwriting, 1), optimizers_of(module))
    machine = Machine(step.tape, precise)
    first, act = (pair(step.tape.outputs_of(name, "backward#0")[0]) for name in ("first", "act"))
    sources = {value: t.requires_grad_(t.is_floating_point()) for value, t in machine.sources(step.tensors).items()}
    values = machine.run(sources, [first, act])
    before, after = values[first], values[act]
    assert (before < 0).any()
    assert torch.equal(after, before.relu())  # in place on the tape
    (gradient,) = torch.autograd.grad(after.sum(), before)
    assert torch.equal(gradient, (before > 0).to(gradient.dtype))


@pytest.mark.parametrize("kind", [*KINDS, Gan], ids=lambda kind: kind.__name__)
def test_the_step_itself_is_as_without_a_tape(kind: type[Any]) -> None:
    module = network(kind)
    twin = deepcopy(module)
    batch, optimizers, others = batch_of(kind, 2), optimizers_of(module), optimizers_of(twin)
    torch.manual_seed(7)
    expected = train(twin, batch, others)
    random = torch.get_rng_state()
    _, truth = recorded(module, batch, optimizers)
    assert all(torch.equal(a, b) for a, b in zip(truth.losses, expected.losses, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(module.state_dict().values(), twin.state_dict().values(), strict=True))
    assert torch.equal(random, torch.get_rng_state())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


def test_a_gans_generator_sees_the_discriminator_after_its_step() -> None:
    module = network(Gan)
    step, _ = recorded(module, batch_of(Gan, 2), optimizers_of(module))
    states = [source.key for source in step.tape.sources if source.name == "discriminator.0.weight"]
    assert states == ["parameter.discriminator.0.weight", "parameter.discriminator.0.weight'"]
    first, second = (step.tensors[key] for key in states)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_float64_agrees(kind: type[Any]) -> None:
    module = network(kind)
    step, truth = recorded(module, batch_of(kind, 2), optimizers_of(module))
    loss, gradients = replayed(step, 0, precise=True)
    assert loss.dtype == torch.float64
    torch.testing.assert_close(loss.float(), truth.losses[0], rtol=1e-4, atol=1e-5)
    for name, gradient in truth.gradients[0].items():
        torch.testing.assert_close(gradients[name].float(), gradient, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("kind", HARD, ids=lambda kind: kind.__name__)
def test_what_is_known_to_be_hard_is_bit_equal_too(kind: type[Any]) -> None:
    step, truth = recorded(module := network(kind), batch_of(kind, 2), optimizers_of(module))
    assert_exact(step, truth)


def test_clipping_and_a_closure_leave_no_trace() -> None:
    module = network(Mlp)
    batch = batch_of(Mlp, 2)
    train(module, batch, optimizers_of(module))
    optimizer = SGD(module.parameters(), 0.1, momentum=0.9)
    mode = TapeMode(module, {}, {}, max_bytes=1 << 20)
    with mode:
        mode.batch(batch)

        def closure() -> Tensor:
            loss = module.loss(batch)  # type: ignore[operator]
            optimizer.zero_grad()
            mode.loss(loss, 0)
            loss.backward()
            nn.utils.clip_grad_norm_(module.parameters(), 0.01)
            return loss  # type: ignore[no-any-return]

        optimizer.step(closure)
    made = mode.recorded(0, {})
    kinds = {source.kind for source in made.tape.sources}
    assert kinds == {"parameter", "input"}
    assert not any("foreach" in op.name or "clip" in op.name for op in made.tape.ops)


def test_more_bytes_than_allowed_are_said() -> None:
    module = network(Mlp)
    mode = TapeMode(module, {}, {}, max_bytes=100)
    with mode:
        loss = module.loss(batch_of(Mlp, 2))  # type: ignore[operator]
        mode.loss(loss, 0)
    with pytest.raises(UnrecordableError, match="max_deep_bytes"):
        mode.recorded(0, {})


def test_an_op_that_this_torch_lacks_is_named() -> None:
    module = network(Mlp)
    step, _ = recorded(module, batch_of(Mlp, 2), optimizers_of(module))
    changed = _renamed(step.tape, "aten.relu.default", "aten.relu.of_the_future")
    machine = Machine(changed)
    program = changed.programs[0]
    with pytest.raises(UnknownOpError, match="of_the_future"):
        machine.run(machine.sources(step.tensors), [(program.loss, program.at)])


def _renamed(tape: Tape, old: str, new: str) -> Tape:
    assert old.encode() in dump(tape)
    return load(dump(tape).replace(old.encode(), new.encode()))
