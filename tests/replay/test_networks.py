"""What people also train: each is replayed with the recorded step's bits, or refused with a sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.checkpoint import checkpoint

from dgm_tb.replay.ask import Target
from dgm_tb.replay.credit import Step, change_credit
from dgm_tb.replay.machine import Machine
from lightning_callbacks.recorded import UnrecordableError
from lightning_callbacks.tape import TapeMode
from tests.callbacks.networks import Gru, Mlp, Transformer, Vae
from tests.replay.steps import batch_of, network, optimizers_of, recorded, train
from tests.replay.test_machine import assert_exact, replayed


class Net(nn.Module):
    """A network of which only the loss is written; it learns on six features and three classes."""

    data = staticmethod(Mlp.data)


class Shared(Net):
    """One module called five times, in a loop, the fifth under another name."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)
        self.again, self.head = self.layer, nn.Linear(6, 3)

    def loss(self, batch: Any) -> Tensor:
        x = batch[0]
        for _ in range(4):
            x = torch.tanh(self.layer(x))
        return F.cross_entropy(self.head(self.again(x)), batch[1])


class MultiHead(nn.Module):
    """Attention with a padding mask, weights asked for and not."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.attention = nn.Embedding(10, 8), nn.MultiheadAttention(8, 2, dropout=0.1, batch_first=True)
        self.head = nn.Linear(8, 10)

    def loss(self, batch: Any) -> Tensor:
        x = self.embed(batch[0])
        x, weights = self.attention(x, x, x, key_padding_mask=batch[0] == 3)
        x = x + self.attention(x, x, x, need_weights=False)[0]
        loss: Tensor = F.cross_entropy(self.head(x).flatten(0, 1), batch[1].flatten()) + weights.square().mean()
        return loss

    data = staticmethod(Transformer.data)


class Packed(nn.Module):
    """Sequences of several lengths."""

    def __init__(self, cell: Callable[..., nn.Module] = nn.GRU) -> None:
        super().__init__()
        self.rnn, self.head = cell(3, 5, batch_first=True, bidirectional=True), nn.Linear(10, 2)

    def loss(self, batch: Any) -> Tensor:
        lengths = torch.arange(len(batch[0])) % 7 + 1
        packed = pack_padded_sequence(batch[0], lengths, batch_first=True, enforce_sorted=False)
        out = pad_packed_sequence(self.rnn(packed)[0], batch_first=True)[0]
        return F.cross_entropy(self.head(out.mean(1)), batch[1])

    data = staticmethod(Gru.data)


class PackedLstm(Packed):
    def __init__(self) -> None:
        super().__init__(nn.LSTM)


class Elman(nn.Module):
    """PyTorch's own plain cell, by the step and as a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.cell, self.head = nn.RNN(3, 5, batch_first=True), nn.GRUCell(5, 5), nn.Linear(5, 2)

    def loss(self, batch: Any) -> Tensor:
        h = torch.zeros(len(batch[0]), 5)
        for x in self.layer(batch[0])[0].unbind(1):
            h = self.cell(x, h)
        return F.cross_entropy(self.head(h), batch[1])

    data = staticmethod(Gru.data)


class Bag(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bag, self.head = nn.EmbeddingBag(10, 6, mode="mean"), nn.Linear(6, 10)

    def loss(self, batch: Any) -> Tensor:
        return F.cross_entropy(self.head(self.bag(batch[0])), batch[1][:, 0])

    data = staticmethod(Transformer.data)


class Half(Net):
    """All of it in bfloat16."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 3)).to(torch.bfloat16)

    def loss(self, batch: Any) -> Tensor:
        return F.cross_entropy(self.body(batch[0].to(torch.bfloat16)).float(), batch[1])


class Fourier(nn.Module):
    """A layer with complex weights between two Fourier transforms."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 1, 8, 5, dtype=torch.cfloat) * 0.1)
        self.head = nn.Conv2d(4, 1, 1)

    def loss(self, batch: Any) -> Tensor:
        spectrum = torch.fft.rfft2(batch[0]) * self.weight[:, 0]
        return F.mse_loss(self.head(torch.fft.irfft2(spectrum, s=(8, 8))), batch[0])

    data = staticmethod(Vae.data)


class InPlace(Net):
    """Writing into views and slices, and by index."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(6, 8), nn.Linear(8, 3)

    def loss(self, batch: Any) -> Tensor:
        h = self.first(batch[0]).clone()
        left = h[:, :4]
        left.mul_(2).add_(1)
        h[:, 4:].sub_(h[:, :4].mean())
        h[torch.tensor([0, 2])] += 1
        h.view(-1, 2, 4)[:, 0] = torch.sigmoid(h[:, 4:])
        h.transpose(0, 1)[2].tanh_()
        return F.cross_entropy(self.head(h), batch[1])


class Dropouts(nn.Module):
    """Every way to drop or to draw that PyTorch has layers for."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.out = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 1, 1)
        self.drops = nn.Sequential(
            nn.Dropout(0.2), nn.Dropout2d(0.2), nn.AlphaDropout(0.1), nn.FeatureAlphaDropout(0.1), nn.RReLU(),
            nn.Dropout(0.1, inplace=True), nn.RReLU(inplace=True), nn.RReLU().eval(),
        )  # fmt: skip

    def loss(self, batch: Any) -> Tensor:
        h = self.drops(self.enter(batch[0]))
        h = h + torch.normal(torch.zeros_like(h), 0.1) + torch.empty_like(h).uniform_(-0.1, 0.1)
        h = h * torch.bernoulli(torch.full_like(h, 0.9))
        h = torch.native_dropout(F.gumbel_softmax(h, dim=1), 0.2, True)[0]
        return F.mse_loss(self.out(h), batch[0])

    data = staticmethod(Vae.data)


class Split(nn.Module):
    """A module with several outputs, in a dict within a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        first, second = self.layer(x).chunk(2, -1)
        return {"first": first, "again": first}, second


class Several(Net):
    def __init__(self) -> None:
        super().__init__()
        self.split = Split()

    def loss(self, batch: Any) -> Tensor:
        named, second = self.split(batch[0])
        return F.cross_entropy(named["first"] * second + named["again"], batch[1])


class Teacher(Net):
    """A frozen copy called without grad, which follows by an exponential moving average within the step."""

    def __init__(self) -> None:
        super().__init__()
        self.student, self.teacher = nn.Linear(6, 3), nn.Linear(6, 3).requires_grad_(False)

    def loss(self, batch: Any) -> Tensor:
        with torch.no_grad():
            for slow, fast in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
                slow.lerp_(fast, 0.1)
            wanted = self.teacher(batch[0]).softmax(-1)
        return F.cross_entropy(self.student(batch[0]), wanted)


class Reentrant(Net):
    """Checkpointing of the old kind: the forward that is seen has no gradient, the backward runs another."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.body = nn.Linear(6, 6), nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))

    def loss(self, batch: Any) -> Tensor:
        return F.cross_entropy(checkpoint(self.body, self.enter(batch[0]), use_reentrant=True), batch[1])


class Mapped(Net):
    """`torch.func`: one weight sample a row."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def loss(self, batch: Any) -> Tensor:
        return F.cross_entropy(torch.vmap(self.layer)(batch[0]), batch[1])


class Functional(Net):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def loss(self, batch: Any) -> Tensor:
        moved = {name: parameter * 1.5 for name, parameter in self.layer.named_parameters()}
        return F.cross_entropy(torch.func.functional_call(self.layer, moved, (batch[0],)), batch[1])


class Normed(Net):
    """Weight norm, spectral norm and root-mean-square norm."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.utils.parametrizations.weight_norm(nn.Linear(6, 8)), nn.RMSNorm(8), nn.PReLU(),
            nn.utils.parametrizations.spectral_norm(nn.Linear(8, 3)),
        )  # fmt: skip

    def loss(self, batch: Any) -> Tensor:
        return F.cross_entropy(self.body(batch[0]), batch[1])


EXACT: tuple[type[Any], ...] = (
    Shared, MultiHead, Packed, PackedLstm, Elman, Bag, Half, Fourier, InPlace, Dropouts, Several, Teacher, Mapped,
    Functional, Normed,
)  # fmt: skip


@pytest.mark.parametrize("kind", EXACT, ids=lambda kind: kind.__name__)
def test_it_is_replayed_bit_by_bit(kind: type[Any]) -> None:
    module = network(kind)
    optimizers = optimizers_of(module)
    train(module, batch_of(kind, 1), optimizers)
    assert_exact(*recorded(module, batch_of(kind, 2), optimizers))


class Gamma(Net):
    """A draw that depends on what its distribution was told, by a formula of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def loss(self, batch: Any) -> Tensor:
        drawn = torch.distributions.Gamma(F.softplus(self.layer(batch[0])) + 0.1, 1.0).rsample()
        return F.cross_entropy(drawn, batch[1])


class Sparse(Net):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def loss(self, batch: Any) -> Tensor:
        return F.cross_entropy(self.layer(torch.sparse.mm(torch.eye(6).to_sparse(), batch[0])), batch[1])


@pytest.mark.parametrize(
    ("kind", "message"),
    [(Gamma, "_standard_gamma.* draws within"), (Sparse, "layout torch.sparse_coo")],
    ids=lambda part: getattr(part, "__name__", ""),
)
def test_it_is_refused_with_the_reason(kind: type[Any], message: str) -> None:
    module = network(kind)
    with pytest.raises(UnrecordableError, match=message):
        recorded(module, batch_of(kind, 2), optimizers_of(module))


def test_credit_flows_through_a_reentrant_checkpoint() -> None:
    """Its forward ran without a graph; who asks for causes looks through that."""
    module = network(Reentrant)
    optimizers = optimizers_of(module)
    step, truth = recorded(module, batch_of(Reentrant, 2), optimizers)
    machine = Machine(step.tape)
    program = step.tape.programs[0]
    pair = program.loss, program.at
    assert torch.equal(machine.run(machine.sources(step.tensors), [pair])[pair], truth.losses[0])
    train(module, batch_of(Reentrant, 3), optimizers)
    later, _ = recorded(module, batch_of(Reentrant, 4), optimizers, 2)
    credit = change_credit(Target("body.2", "backward#0", (0,)), step, later, batch="same")
    assert credit.converged
    assert credit.parameters["body.0.weight"].any()


@pytest.mark.parametrize("scale", [1.0, 1024.0])
def test_accumulated_and_scaled_losses_are_programs_of_their_own(scale: float) -> None:
    module = network(Mlp)
    batch = batch_of(Mlp, 2)
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    mode = TapeMode(module, {}, {}, max_bytes=1 << 20)
    before = [parameter.detach().clone() for parameter in module.parameters()]
    found = []
    with mode:
        mode.batch(batch)
        optimizer.zero_grad()
        for index, half in enumerate((slice(0, 3), slice(3, 6))):
            loss = scaler.scale(module.loss((batch[0][half], batch[1][half])) / 2)  # type: ignore[operator]
            mode.loss(loss, index)
            loss.backward()
            found.append(loss.detach().clone())
        gradients = {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(module.parameters(), 0.1)
        scaler.step(optimizer)
        scaler.update()
    assert any(not torch.equal(old, new) for old, new in zip(before, module.parameters(), strict=True))
    made = mode.recorded(0, {})
    step = Step(made.tape, made.tensors)
    parts = [replayed(step, index) for index in range(2)]
    assert all(torch.equal(part[0], loss) for part, loss in zip(parts, found, strict=True))
    assert all(torch.equal(parts[0][1][name] + parts[1][1][name], whole) for name, whole in gradients.items())
