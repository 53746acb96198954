"""What the processes of a distributed training run: ``python -m tests.conformance.ranks TRAINING DIRECTORY``.

Each process trains without and with a recording and leaves ``rank<r>.pt`` in the directory: what it trained to, and
what plain hooks saw. Which process it is says the environment (``RANK``, ``WORLD_SIZE``, ``DGM_MEET``, a file).
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lightning_callbacks import DynamicsMonitor, Recorder
from tests.callbacks import networks

STEPS = 4


class Net(nn.Module):
    """``second`` is used by every other batch of rank 0 only, where the parameters in use may differ."""

    def __init__(self, sometimes: bool = False) -> None:
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.act = nn.ReLU()
        self.second = nn.Linear(8, 8)
        self.last = nn.Linear(8, 3)
        self.sometimes, self.calls = sometimes, 0

    def forward(self, x: Tensor) -> Tensor:
        h = self.act(self.first(x))
        self.calls += 1
        if not self.sometimes or (self.calls % 2 and dist.get_rank() == 0):
            h = h + self.second(h)
        out: Tensor = self.last(h)
        return out


@contextmanager
def watched(net: nn.Module, seen: dict[str, list[Tensor]]) -> Iterator[None]:
    """Plain hooks: a list over the steps of each module's output and its gradient."""

    def hook(path: str) -> Callable[..., None]:
        def called(module: nn.Module, args: Any, output: Tensor) -> None:
            seen.setdefault(f"{path}/activation", []).append(output.detach().clone())
            output.register_hook(lambda g: seen.setdefault(f"{path}/gradient", []).append(g.detach().clone()))

        return called

    leaves = {path: module for path, module in net.named_modules() if not list(module.children())}
    handles = [module.register_forward_hook(hook(path)) for path, module in leaves.items()]
    yield
    for handle in handles:
        handle.remove()


def collectives() -> int:
    """How many collective operations this process has taken part in."""
    return int(dist.group.WORLD._get_sequence_number_for_group())  # type: ignore[union-attr]


def data_parallel(
    directory: Path | None, *, accumulate: int = 1, sometimes: bool = False, **options: Any
) -> dict[str, Any]:
    """A bare loop; each rank has another batch size. Gradients are read after backward, when they are averaged."""
    rank = dist.get_rank()
    torch.manual_seed(0)
    net = Net(sometimes)
    ddp = DistributedDataParallel(net, find_unused_parameters=sometimes, **options)
    optimizer = torch.optim.Adam(ddp.parameters(), 0.01)
    torch.manual_seed(100 + rank)
    found: dict[str, Any] = {"losses": [], "seen": {}}
    with Recorder(ddp, directory, every_n_steps=1) if directory else nullcontext() as recorder:
        begun = collectives()
        for index in range(STEPS * accumulate):
            stepped = (index + 1) % accumulate == 0
            x = torch.randn(4 + 2 * rank, 6)
            with (
                recorder.step(x, stepped=stepped) if recorder else watched(net, found["seen"]),
                nullcontext() if stepped else ddp.no_sync(),
            ):
                loss = ddp(x).square().mean()
                if recorder:
                    recorder.log(loss=loss)
                loss.backward()
                if stepped:
                    if not recorder:
                        for name, parameter in net.named_parameters():
                            if parameter.grad is not None:
                                found["seen"].setdefault(f"{name}/grad", []).append(parameter.grad.clone())
                    optimizer.step()
                    optimizer.zero_grad()
            found["losses"].append(loss.item())
        found["collectives"] = collectives() - begun
    return found | {"state": net.state_dict(), "failure": repr(recorder.failure) if recorder else "None"}


def by_torch(directory: Path) -> dict[str, Any]:
    ways: dict[str, dict[str, Any]] = {
        "plain": {},
        "sometimes": {"sometimes": True},
        "accumulated": {"accumulate": 2},
        "static": {"static_graph": True, "gradient_as_bucket_view": True},
    }
    found = {
        way: (data_parallel(None, **options), data_parallel(directory / way, **options))
        for way, options in ways.items()
    }
    # Only one rank records: nobody waits for it, and it waits for nobody.
    if dist.get_rank() == 0:
        found["alone"] = data_parallel(None), data_parallel(directory / "alone")
    else:
        found["alone"] = data_parallel(None), data_parallel(None)
    return found


def by_lightning(directory: Path) -> None:
    """Two processes by Lightning's own launcher, which starts this script again."""
    import pytorch_lightning as pl

    def fit(name: str, *callbacks: Any) -> Any:
        torch.manual_seed(0)
        module = networks.lightning_module(pl, networks.Mlp())
        trainer = pl.Trainer(
            accelerator="cpu",
            devices=2,
            strategy="ddp",
            max_epochs=1,
            default_root_dir=directory / name,
            logger=pl.loggers.TensorBoardLogger(directory, name=name, version=""),
            enable_progress_bar=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            callbacks=list(callbacks),
        )
        trainer.fit(module, networks.loader(networks.Mlp))
        return module.state_dict(), trainer.global_rank

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        state, rank = fit("without")
        monitored, _ = fit("run", DynamicsMonitor(1))
    torch.save({"states": (state, monitored)}, directory / f"rank{rank}.pt")


def sharded(directory: Path) -> dict[str, Any]:
    """Each kind over both ranks, and each rank by itself."""
    groups = [dist.new_group([rank]) for rank in range(dist.get_world_size())]
    alone, own = groups[dist.get_rank()], directory / f"alone{dist.get_rank()}"
    together = dist.group.WORLD
    return {
        kind: {
            1: (_sharded(kind, alone, None), _sharded(kind, alone, own / kind)),
            2: (_sharded(kind, together, None), _sharded(kind, together, directory / kind)),
        }
        for kind in ("fsdp1-orig", "fsdp1-flat", "fsdp2")
    }


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.linear(x))
        return out


class Deep(nn.Module):
    """Layers whose weights have their units on the dimension that is sharded, and on another; uneven, and gates."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 6)
        self.rnn = nn.GRU(6, 8, batch_first=True)
        self.blocks = nn.ModuleList([Block(), Block()])
        self.norm = nn.LayerNorm(8)
        self.last = nn.Linear(8, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        h = self.rnn(self.embed(tokens))[0]
        for block in self.blocks:
            h = block(h)
        out: Tensor = self.last(self.norm(h))
        return out


def _wrapped(kind: str, net: Deep, group: Any) -> nn.Module:
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
    from torch.distributed.fsdp.wrap import ModuleWrapPolicy

    if kind == "fsdp2":
        mesh = DeviceMesh.from_group(group, "cpu")
        for block in net.blocks:
            fully_shard(block, mesh=mesh)
        fully_shard(net, mesh=mesh)
        return net
    return FullyShardedDataParallel(
        net,
        process_group=group,
        device_id=torch.device("cpu"),
        auto_wrap_policy=ModuleWrapPolicy({Block}),
        use_orig_params=kind == "fsdp1-orig",
    )


def _sharded(kind: str, group: Any, directory: Path | None) -> dict[str, Any]:
    torch.manual_seed(0)
    net = Deep()
    start = {name: value.clone() for name, value in net.state_dict().items()}
    model = _wrapped(kind, net, group)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    torch.manual_seed(100 + dist.get_rank())
    found: dict[str, Any] = {"losses": [], "seen": {}, "start": start}
    messages = _Messages()
    logging.getLogger("lightning_callbacks").addHandler(messages)
    with Recorder(model, directory, every_n_steps=1) if directory else nullcontext() as recorder:
        begun = collectives()
        for _ in range(STEPS):
            x = torch.randint(0, 10, (4, 5))
            with recorder.step(x) if recorder else watched_last(net, found["seen"]):
                loss = model(x).square().mean()
                if recorder:
                    recorder.log(loss=loss)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
            found["losses"].append(loss.item())
        found["collectives"] = collectives() - begun
    logging.getLogger("lightning_callbacks").removeHandler(messages)
    found["messages"] = messages.said
    return found | {"failure": repr(recorder.failure) if recorder else "None"}


@contextmanager
def watched_last(net: Deep, seen: dict[str, list[Tensor]]) -> Iterator[None]:
    with watched(net.last, seen):
        yield


class _Messages(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def main(training: str, directory: Path) -> None:
    torch.set_num_threads(1)
    if training == "lightning":
        by_lightning(directory)
        return
    rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    dist.init_process_group("gloo", init_method=f"file://{os.environ['DGM_MEET']}", rank=rank, world_size=ranks)
    warnings.simplefilter("ignore")
    found = {"ddp": by_torch(directory), "fsdp": sharded(directory)}
    torch.save(found, directory / f"rank{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
