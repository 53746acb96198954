"""Deep snapshots of tiny networks, made as the recorder makes them, and what the real step computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer
from torch.utils.checkpoint import checkpoint

from dgm_tb.replay.credit import Step
from dgm_tb.replay.machine import Machine, pair
from dgm_tb.replay.tape import Tape, dump, load
from lightning_callbacks.tape import TapeMode
from tests.callbacks.networks import Cnn, Gan, Gru, Lstm, Mlp, Tied, Transformer, Vae

_MAPS = (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.GroupNorm, nn.AdaptiveAvgPool2d)


@dataclass(frozen=True)
class Fields:
    """What a module returns that returns a dataclass."""

    logits: Tensor
    hidden: Tensor


class Wrapped(nn.Module):
    """A module within that returns a dataclass, as those of Hugging Face do."""

    class Body(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Fields:
            hidden = torch.tanh(self.first(x))
            return Fields(self.last(hidden), hidden)

    def __init__(self) -> None:
        super().__init__()
        self.body = Wrapped.Body()

    def loss(self, batch: Any) -> Tensor:
        out = self.body(batch[0])
        loss: Tensor = F.cross_entropy(out.logits, batch[1]) + 0.01 * out.hidden.square().mean()
        return loss

    data = staticmethod(Mlp.data)


class UNet(nn.Module):
    """A diffusion step: noised images, a time embedding, one level down and up with a skip, attention in between."""

    def __init__(self) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Linear(4, 8), nn.SiLU())
        self.enter, self.down = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.norm, self.attention = nn.GroupNorm(2, 8), nn.MultiheadAttention(8, 2, batch_first=True)
        self.up, self.out = nn.ConvTranspose2d(8, 8, 2, stride=2), nn.Conv2d(16, 1, 3, padding=1)

    def loss(self, batch: Any) -> Tensor:
        clean = batch[0]
        noise, level = torch.randn_like(clean), torch.rand(len(clean), 1, 1, 1)
        skip = F.silu(self.enter(clean * (1 - level) + noise * level))
        angles = level.flatten()[:, None] * torch.arange(1, 3)
        time = self.time(torch.cat([angles.sin(), angles.cos()], -1))
        h = self.norm(self.down(skip)) + time[..., None, None]
        tokens = h.flatten(2).transpose(1, 2)
        h = h + self.attention(tokens, tokens, tokens, need_weights=False)[0].transpose(1, 2).reshape(h.shape)
        return F.mse_loss(self.out(torch.cat([self.up(h), skip], 1)), noise)

    @staticmethod
    def data() -> tuple[Tensor, Tensor]:
        return torch.rand(16, 1, 8, 8), torch.zeros(16)


class Autocast(nn.Module):
    """One layer used twice: autocast casts its weight once and keeps it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def loss(self, batch: Any) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = self.layer(torch.tanh(self.layer(batch[0])))
        mean: Tensor = out.float().square().mean()
        return mean

    data = staticmethod(Mlp.data)


class Penalty(nn.Module):
    """A gradient within the loss, as WGAN-GP has it."""

    def __init__(self) -> None:
        super().__init__()
        self.critic = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))

    def loss(self, batch: Any) -> Tensor:
        x = batch[0].clone().requires_grad_()
        out = self.critic(x)
        (gradient,) = torch.autograd.grad(out.sum(), x, create_graph=True)
        penalty: Tensor = out.mean() + 10 * (gradient.norm(2, 1) - 1).square().mean()
        return penalty

    data = staticmethod(Mlp.data)


class Checkpointed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.ReLU(inplace=True), nn.Dropout(0.3), nn.Linear(8, 3))

    def loss(self, batch: Any) -> Tensor:
        return F.cross_entropy(checkpoint(self.body, batch[0], use_reentrant=False), batch[1])

    data = staticmethod(Mlp.data)


#: The kinds of networks on which replay must be exact.
KINDS: tuple[type[Any], ...] = (Mlp, Cnn, Vae, Transformer, Tied, Lstm, Gru, UNet, Wrapped)
#: Kinds of programs that a recorder easily gets wrong.
HARD: tuple[type[Any], ...] = (Autocast, Penalty, Checkpointed)


@dataclass(frozen=True)
class Truth:
    """What the real step computed, by program: its loss and the gradients that its backward left."""

    losses: tuple[Tensor, ...]
    gradients: tuple[dict[str, Tensor], ...]


def network(kind: type[Any], seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    made: nn.Module = kind()
    return made


def batch_of(kind: type[Any], seed: int, size: int = 6) -> Any:
    torch.manual_seed(seed)
    return tuple(tensor[:size].clone() for tensor in kind.data())


def losses(module: nn.Module, batch: Any) -> Iterator[tuple[Callable[[], Tensor], Sequence[nn.Parameter]]]:
    """The programs of a step: what makes the loss, and whose parameters its optimizer changes."""
    if isinstance(module, Gan):
        discriminator, generator = module.losses(batch[0])
        yield discriminator, list(module.discriminator.parameters())
        yield generator, list(module.generator.parameters())
    else:
        yield lambda: module.loss(batch), list(module.parameters())  # type: ignore[operator]


def train(module: nn.Module, batch: Any, optimizers: Sequence[Optimizer], mode: TapeMode | None = None) -> Truth:
    """One training step, as people write it."""
    found, left = [], []
    for index, ((loss_of, _), optimizer) in enumerate(zip(losses(module, batch), optimizers, strict=True)):
        module.zero_grad()
        loss = loss_of()
        if mode is not None:
            mode.loss(loss, index)
        loss.backward()
        found.append(loss.detach().clone())
        grads = {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}
        left.append(grads)
        optimizer.step()
    return Truth(tuple(found), tuple(left))


def optimizers_of(module: nn.Module, rate: float = 1e-2) -> list[Optimizer]:
    owned = [owned for _, owned in losses(module, (torch.zeros(2, 4), None))] if isinstance(module, Gan) else [
        list(module.parameters())
    ]  # fmt: skip
    return [Adam(parameters, rate) for parameters in owned]


def recorded(
    module: nn.Module, batch: Any, optimizers: Sequence[Optimizer], step: int = 0, seed: int = 7
) -> tuple[Step, Truth]:
    """A training step under the tape."""
    torch.manual_seed(seed)
    leaves = {path: part for path, part in module.named_modules() if path and not list(part.children())}
    mode = TapeMode(module, leaves, {part: path for path, part in leaves.items()}, max_bytes=1 << 30)
    with mode:
        mode.batch(batch)
        truth = train(module, batch, optimizers, mode)
    made = mode.recorded(step, {"torch": torch.__version__})
    programs = made.tape.program_names
    nodes = {seen: [(seen.path + seen.output, program, 0) for program in programs] for seen in dict.fromkeys(made.seen)}
    tape = _with_axes(made.named(nodes), made.tensors, leaves)
    return Step(load(dump(tape)), made.tensors), truth


def _with_axes(tape: Tape, tensors: Any, modules: dict[str, nn.Module]) -> Tape:
    """Feature maps are counted along axis 1, features along the last."""
    machine = Machine(tape)
    values = machine.run(machine.sources(tensors), [pair(out) for out in tape.outputs])
    return replace(
        tape,
        outputs=tuple(
            replace(out, axis=1 if _is_map(modules, out.node, values[pair(out)]) else values[pair(out)].ndim - 1)
            for out in tape.outputs
        ),
    )


def _is_map(modules: dict[str, nn.Module], node: str, value: Tensor) -> bool:
    return value.ndim == 4 or isinstance(modules.get(node), _MAPS)


def two_steps(kind: type[Any], between: int = 2, seed: int = 0, rate: float = 1e-2) -> tuple[Step, Step]:
    """Deep snapshots of a training, some steps apart, on different batches."""
    module = network(kind, seed)
    optimizers = optimizers_of(module, rate)
    earlier, _ = recorded(module, batch_of(kind, seed + 1), optimizers, 0, seed + 11)
    for index in range(between):
        train(module, batch_of(kind, seed + 2 + index), optimizers)
    later, _ = recorded(module, batch_of(kind, seed + 9), optimizers, between + 1, seed + 12)
    return earlier, later
