"""The kinds of training that must be recorded rightly: each a tiny network, what its steps minimise, and its rows.

A `Case` says by hand which nodes, units and weights there are; the numbers come from `tests/conformance/oracle.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.callbacks import networks

Losses = Sequence[Callable[[], Tensor]]
Cube = Callable[[Tensor], Tensor]


def first(weight: Tensor) -> Tensor:
    """Units on dimension 0, as ``(outer, units, inner)``."""
    return weight.reshape(1, len(weight), -1)


def last(weight: Tensor) -> Tensor:
    return weight.reshape(-1, weight.shape[-1], 1)


def second(weight: Tensor) -> Tensor:
    """A transposed convolution's."""
    return weight.reshape(weight.shape[0], weight.shape[1], -1)


def gates(count: int) -> Cube:
    def cube(weight: Tensor) -> Tensor:
        return torch.stack([part.reshape(len(part), -1) for part in weight.chunk(count)])

    return cube


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of training.

    ``outputs``: module path and output path -> (unit axis, units). ``weights``: node -> the parameters that are
    its rows, each with its view ``(outer, units, inner)``. ``losses(network, batch)`` gives what the programs of a step
    minimise, in order; ``trained(network)`` the parameters of each program's optimizer. ``options`` are
    `DynamicsMonitor`'s. ``hidden``: outputs whose gradient autograd does not let anyone
    see. ``traced_as_groups``: recorded modules that have children, so that the graph shows them as groups.
    """

    name: str
    network: Callable[[], nn.Module]
    outputs: Mapping[str, tuple[int, int]]
    weights: Mapping[str, Sequence[tuple[str, Cube]]]
    data: Callable[[], Sequence[Tensor]]
    losses: Callable[[Any, Any], Losses] = lambda network, batch: [lambda: network.loss(batch)]
    trained: Callable[[Any], Sequence[Sequence[nn.Parameter]]] = lambda network: [list(network.parameters())]
    accumulate: int = 1
    clip: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()
    traced_as_groups: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return self.name


def _plain(*paths: str, cube: Cube = first) -> dict[str, Sequence[tuple[str, Cube]]]:
    return {path: [(f"{path}.weight", cube)] for path in paths}


class Unet(nn.Module):
    """Diffusion: noise is predicted at a random time; down, attention, up, with a skip connection."""

    def __init__(self) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Linear(1, 8), nn.SiLU())
        self.down = nn.Conv2d(1, 4, 3, padding=1)
        self.squeeze = nn.Conv2d(4, 8, 4, stride=2, padding=1)
        self.norm = nn.GroupNorm(2, 8)
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        self.grow = nn.ConvTranspose2d(8, 4, 4, stride=2, padding=1)
        self.out = nn.Conv2d(8, 1, 3, padding=1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        skip = F.silu(self.down(x))
        h = F.silu(self.norm(self.squeeze(skip)) + self.time(time)[:, :, None, None])
        tokens = h.flatten(2).transpose(1, 2)
        attended, _ = self.attend(tokens, tokens, tokens, need_weights=False)
        h = h + attended.transpose(1, 2).view_as(h)
        out: Tensor = self.out(torch.cat([self.grow(h), skip], 1))
        return out

    def loss(self, batch: Sequence[Tensor]) -> Tensor:
        time = torch.rand(len(batch[0]), 1)
        noise = torch.randn_like(batch[0])
        kept = torch.cos(time * 1.5)[:, :, None, None]
        return F.mse_loss(self(kept * batch[0] + (1 - kept**2).sqrt() * noise, time), noise)


class Recurrent(nn.Module):
    """PyTorch's recurrent layers, its cells and a hand-written cell, the cells in loops over the time."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(3, 5, batch_first=True)
        self.lstm = nn.LSTM(5, 5, num_layers=2, dropout=0.2, batch_first=True)
        self.gru = nn.GRU(5, 5, batch_first=True)
        self.lstm_cell = nn.LSTMCell(5, 4)
        self.gru_cell = nn.GRUCell(4, 4)
        self.cell = networks.Cell()
        self.head = nn.Linear(4 + 5, 2)

    def loss(self, batch: Sequence[Tensor]) -> Tensor:
        x, hidden = batch[0], torch.zeros(len(batch[0]), 5)
        for layer in (self.rnn, self.lstm, self.gru):
            x = layer(x)[0]
        state = torch.zeros(len(x), 4), torch.zeros(len(x), 4)
        for t in range(x.shape[1]):
            state = self.lstm_cell(x[:, t], state)
            state = self.gru_cell(state[0], state[1]), state[1]
            hidden = self.cell(batch[0][:, t], hidden)
        return F.cross_entropy(self.head(torch.cat([state[0], hidden], 1)), batch[1])


class Shared(nn.Module):
    """One layer at three depths, a weight tied to it elsewhere, and a projection that is called too often."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.tied = nn.Linear(4, 4, bias=False)
        self.tied.weight = self.layer.weight
        self.often = nn.Linear(4, 4)
        self.head = nn.Linear(4, 2)

    def loss(self, batch: Sequence[Tensor]) -> Tensor:
        x = batch[0]
        for _ in range(3):
            x = torch.tanh(self.layer(x))
        x = self.tied(x)
        for _ in range(6):
            x = x + 0.1 * self.often(x)
        return F.cross_entropy(self.head(x), batch[1])


@dataclass
class Encoded:
    """As Hugging Face's models return it."""

    last_hidden_state: Tensor
    hidden_states: tuple[Tensor, ...]
    attentions: None = None


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(6, 8), nn.Linear(8, 8)])

    def forward(self, input_values: Tensor) -> Encoded:
        states = [input_values]
        for layer in self.layers:
            states.append(F.gelu(layer(states[-1])))
        return Encoded(states[-1], tuple(states[1:]))


class Pair(nn.Module):
    """A leaf module of the user's own with two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 8) / 3)

    def forward(self, x: Tensor) -> dict[str, Any]:
        return {"logits": F.linear(x, self.weight), "more": [x.mean(1, keepdim=True) * 2, None, "text", 7]}


class Dictionaries(nn.Module):
    """Outputs that are dataclasses and dicts, called by keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.pair = Pair()

    def loss(self, batch: Sequence[Tensor]) -> Tensor:
        found = self.pair(x=self.encoder(input_values=batch[0]).last_hidden_state)
        loss: Tensor = F.cross_entropy(found["logits"], batch[1]) + 0.1 * found["more"][0].square().mean()
        return loss


class Frozen(nn.Module):
    """A frozen layer, one under no_grad, one that is never called, a head that no loss uses."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Linear(6, 6).requires_grad_(False)
        self.silent = nn.Linear(6, 6)
        self.body = nn.Linear(6, 5)
        self.unused = nn.Linear(5, 7)
        self.uncalled = nn.Linear(5, 2)
        self.head = nn.Linear(5, 3)

    def loss(self, batch: Sequence[Tensor]) -> Tensor:
        with torch.no_grad():
            x = self.silent(batch[0])
        h = torch.tanh(self.body(self.frozen(batch[0] + x)))
        self.unused(h)
        return F.cross_entropy(self.head(h), batch[1])


class InPlace(nn.Module):
    """In-place activations after a layer, after a norm, and on a view, whose own gradient autograd then never shows."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.ReLU(inplace=True), nn.Linear(8, 8), nn.BatchNorm1d(8))
        self.leaky = nn.LeakyReLU(0.1, inplace=True)
        self.conv = nn.Conv1d(1, 2, 3, padding=1)
        self.flat = nn.Flatten()
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(16, 3)

    def loss(self, batch: Sequence[Tensor]) -> Tensor:
        h = self.leaky(self.body(batch[0]))
        return F.cross_entropy(self.head(self.act(self.flat(self.conv(h[:, None] * 1.0)))), batch[1])


class Reciprocal(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / x.relu()  # 1, NaN and, where it overflows, infinite


class Overflowing(nn.Module):
    """Some activations are infinite, some no numbers, others zero; the loss reads only what is sound."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.ReLU())
        self.divide = Reciprocal()
        self.scale = nn.Hardtanh(-1e38, 1e38)
        self.head = nn.Linear(8, 3)

    def loss(self, batch: Sequence[Tensor]) -> Tensor:
        h = self.body(batch[0])
        self.scale(self.divide(h) * h * 1e39)
        return F.cross_entropy(self.head(h), batch[1])


class OneFake(nn.Module):
    """A GAN whose generator runs once a step: its output serves the discriminator detached, then its own loss."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Linear(2, 4)
        self.discriminator = nn.Linear(4, 1)

    def losses(self, real: Tensor) -> Losses:
        fake = self.generator(torch.randn(len(real), 2))

        def discriminator() -> Tensor:
            scores = self.discriminator(real), self.discriminator(fake.detach())
            return F.softplus(-scores[0]).mean() + F.softplus(scores[1]).mean()

        def generator() -> Tensor:
            return F.softplus(-self.discriminator(fake)).mean()

        return discriminator, generator


def _features() -> Sequence[Tensor]:
    return networks.Mlp.data()


def _series() -> Sequence[Tensor]:
    return networks.Gru.data()


def _images() -> Sequence[Tensor]:
    return networks.Vae.data()


def _adversaries(network: Any) -> Sequence[Sequence[nn.Parameter]]:
    return [list(network.discriminator.parameters()), list(network.generator.parameters())]


def _transformer_layers() -> dict[str, tuple[int, int]]:
    sizes = {
        "self_attn": 8, "linear1": 16, "dropout": 16, "linear2": 8, "norm1": 8, "norm2": 8, "dropout1": 8, "dropout2": 8
    }  # fmt: skip
    return {f"layers.layers.{k}.{name}": (-1, units) for k in range(2) for name, units in sizes.items()}


def _transformer_weights() -> dict[str, Sequence[tuple[str, Cube]]]:
    found: dict[str, Sequence[tuple[str, Cube]]] = {}
    for k in range(2):
        layer = f"layers.layers.{k}"
        found[f"{layer}.self_attn"] = [(f"{layer}.self_attn.in_proj_weight", gates(3))]
        found |= _plain(*(f"{layer}.{name}" for name in ("self_attn.out_proj", "linear1", "linear2", "norm1", "norm2")))
    return found


_MLP: Final = {"first": (-1, 8), "act": (-1, 8), "last": (-1, 3)}
_GAN: Final = {
    "generator.0": (-1, 6), "generator.1": (-1, 6), "generator.2": (-1, 4),
    "discriminator.0": (-1, 6), "discriminator.1": (-1, 6), "discriminator.2": (-1, 1),
}  # fmt: skip

MLP: Final = Case("mlp", networks.Mlp, _MLP, _plain("first", "last"), _features)
CNN: Final = Case(
    "cnn",
    networks.Cnn,
    {"stem": (1, 4), "pool": (1, 4), "head": (-1, 3)}
    | {f"blocks.{k}.{name}": (1, 4) for k in range(2) for name in ("conv", "norm", "act")},
    _plain("stem", "head", *(f"blocks.{k}.{name}" for k in range(2) for name in ("conv", "norm"))),
    networks.Cnn.data,
)
VAE: Final = Case(
    "vae",
    networks.Vae,
    {"encoder.0": (1, 4), "encoder.1": (1, 4), "mean": (1, 2), "variance": (1, 2)}
    | {"decoder.0": (1, 4), "decoder.1": (1, 4), "decoder.2": (1, 1)},
    _plain("encoder.0", "mean", "variance", "decoder.2") | _plain("decoder.0", cube=second),
    _images,
)
GAN: Final = Case(
    "gan",
    networks.Gan,
    _GAN,
    _plain(*(f"{net}.{k}" for net in ("discriminator", "generator") for k in (0, 2))),
    networks.Gan.data,
    losses=lambda network, batch: network.losses(batch[0]),
    trained=_adversaries,
)
ONE_FAKE: Final = Case(
    "gan-one-fake",
    OneFake,
    {"generator": (-1, 4), "discriminator": (-1, 1)},
    _plain("generator", "discriminator"),
    networks.Gan.data,
    losses=lambda network, batch: network.losses(batch[0]),
    trained=_adversaries,
)
UNET: Final = Case(
    "unet",
    Unet,
    {"time.0": (-1, 8), "time.1": (-1, 8), "attend": (-1, 8)}
    | {"down": (1, 4), "squeeze": (1, 8), "norm": (1, 8), "grow": (1, 4), "out": (1, 1)},
    _plain("time.0", "down", "squeeze", "norm", "out", "attend.out_proj")
    | _plain("grow", cube=second)
    | {"attend": [("attend.in_proj_weight", gates(3))]},
    _images,
)
TRANSFORMER: Final = Case(
    "transformer",
    networks.Transformer,
    {"embed": (-1, 8), "head": (-1, 10)} | _transformer_layers(),
    _plain("embed", cube=last) | _plain("head") | _transformer_weights(),
    networks.Transformer.data,
)
TIED: Final = Case(
    "tied",
    networks.Tied,
    {"embed": (-1, 8), "head": (-1, 10)}
    | {
        f"blocks.{k}.{name}": (-1, units)
        for k in range(2)
        for name, units in {"norm": 8, "qkv": 24, "out": 8, "drop": 8}.items()
    },
    {"position": [("position", last)]}
    | _plain("embed", cube=last)
    | _plain(*(f"blocks.{k}.{name}" for k in range(2) for name in ("norm", "qkv", "out"))),
    networks.Tied.data,
)
RECURRENT: Final = Case(
    "recurrent",
    Recurrent,
    {"rnn": (-1, 5), "lstm": (-1, 5), "gru": (-1, 5), "lstm_cell": (-1, 4), "gru_cell": (-1, 4), "head": (-1, 2)}
    | {"cell.gates": (-1, 10), "cell.new": (-1, 5)},
    _plain("cell.gates", "cell.new", "head")
    | {"rnn": [("rnn.weight_ih_l0", first), ("rnn.weight_hh_l0", first)]}
    | {"lstm": [(f"lstm.weight_{w}_l{k}", gates(4)) for k in range(2) for w in ("ih", "hh")]}
    | {"gru": [(f"gru.weight_{w}_l0", gates(3)) for w in ("ih", "hh")]}
    | {"lstm_cell": [(f"lstm_cell.weight_{w}", gates(4)) for w in ("ih", "hh")]}
    | {"gru_cell": [(f"gru_cell.weight_{w}", gates(3)) for w in ("ih", "hh")]},
    _series,
)
SHARED: Final = Case(
    "shared",
    Shared,
    {"layer": (-1, 4), "tied": (-1, 4), "often": (-1, 4), "head": (-1, 2)},
    _plain("layer", "often", "head"),
    lambda: (torch.randn(16, 4), torch.randint(0, 2, (16,))),
)
DICTIONARIES: Final = Case(
    "dictionaries",
    Dictionaries,
    {"encoder": (-1, 8), "encoder[hidden_states][0]": (-1, 8), "encoder[hidden_states][1]": (-1, 8)}
    | {"encoder.layers.0": (-1, 8), "encoder.layers.1": (-1, 8), "pair": (-1, 3), "pair[more][0]": (-1, 1)},
    _plain("encoder.layers.0", "encoder.layers.1", "pair"),
    _features,
    options={"include": r"^network\.encoder$"},
    traced_as_groups=frozenset({"encoder"}),
)
FROZEN: Final = Case(
    "frozen",
    Frozen,
    {"frozen": (-1, 6), "silent": (-1, 6), "body": (-1, 5), "unused": (-1, 7), "head": (-1, 3)},
    _plain("frozen", "silent", "body", "unused", "uncalled", "head"),
    _features,
    trained=lambda network: [[p for p in network.parameters() if p.requires_grad]],
)
IN_PLACE: Final = Case(
    "in-place",
    InPlace,
    {f"body.{k}": (-1, 8) for k in range(4)}
    | {"leaky": (-1, 8), "conv": (1, 2), "flat": (-1, 16), "act": (-1, 16), "head": (-1, 3)},
    _plain("body.0", "body.2", "body.3", "conv", "head"),
    _features,
    hidden=frozenset({"flat"}),
)
OVERFLOWING: Final = Case(
    "overflowing",
    Overflowing,
    {"body.0": (-1, 8), "body.1": (-1, 8), "divide": (-1, 8), "scale": (-1, 8), "head": (-1, 3)},
    _plain("body.0", "head"),
    _features,
)
ACCUMULATED: Final = Case("accumulated", networks.Mlp, _MLP, _plain("first", "last"), networks.Mlp.data, accumulate=2)
CLIPPED: Final = Case("clipped", networks.Mlp, _MLP, _plain("first", "last"), networks.Mlp.data, clip=0.05)

PLAIN: Final = (
    MLP, CNN, VAE, GAN, ONE_FAKE, UNET, TRANSFORMER, TIED, RECURRENT, SHARED, DICTIONARIES, FROZEN, IN_PLACE,
    OVERFLOWING, ACCUMULATED, CLIPPED,
)  # fmt: skip
