from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dgm_tb.records import Graph, Node
from dgm_tb.store.run import Run
from lightning_callbacks import DynamicsMonitor, Recorder
from lightning_callbacks.tape import TapeMode
from lightning_callbacks.trace import events
from tests.callbacks import networks
from tests.callbacks.networks import fit, lightning_module, loader


def _graph(pl: Any, network: type[Any], directory: Path) -> Graph:
    monitor = DynamicsMonitor(log_dir=directory / "run")
    fit(pl, lightning_module(pl, network()), loader(network), directory, monitor, max_steps=2)
    with Run(directory / "run") as run:
        assert run.graph is not None
        return run.graph


def _recorded(net: nn.Module, directory: Path, forward: Any) -> Graph:
    """The graph of one step in a bare loop."""
    optimizer = torch.optim.SGD(net.parameters(), 0.01)
    with Recorder(net, directory) as recorder:
        batch = torch.randn(3, 4)
        with recorder.step(batch):
            loss = forward(batch)
            recorder.log(loss=loss)
            loss.backward()
            optimizer.step()
    assert recorder.failure is None
    with Run(directory) as run:
        assert run.graph is not None
        return run.graph


def _edges(graph: Graph, prefix: str = "network.") -> set[tuple[str, str]]:
    return {(edge.source.removeprefix(prefix), edge.target.removeprefix(prefix)) for edge in graph.edges}


def _node(graph: Graph, name: str) -> Node:
    return next(node for node in graph.nodes if node.name == name)


def test_mlp(pl: Any, tmp_path: Path) -> None:
    graph = _graph(pl, networks.Mlp, tmp_path)
    assert _edges(graph) == {
        ("input[0]", "first"),
        ("first", "act"),
        ("act", "last"),
        ("last", "loss"),
        ("input[1]", "loss"),
    }
    assert not any(edge.back for edge in graph.edges)
    assert [node.name for node in graph.nodes if node.kind == "module"] == [
        "network.first",
        "network.act",
        "network.last",
    ]
    assert dict(graph.programs) == {"backward#0": "first, last (Adam)"}
    assert dict(graph.groups) == {"network": "Mlp"}
    first = _node(graph, "network.first")
    assert (first.module_type, first.group, first.units, first.parameters, first.shape) == (
        "Linear",
        "network",
        8,
        56,
        (4, 8),
    )
    assert first.quantities == ("activation", "gradient", "weight", "weight_gradient", "update")


def test_cnn_with_residuals(pl: Any, tmp_path: Path) -> None:
    graph = _graph(pl, networks.Cnn, tmp_path)
    for index, origin in enumerate(("stem", "blocks.0.act")):
        block = f"blocks.{index}"
        assert {
            (origin, f"{block}.conv"),
            (f"{block}.conv", f"{block}.norm"),
            (f"{block}.norm", f"{block}.add"),
            (origin, f"{block}.add"),
            (f"{block}.add", f"{block}.act"),
        } <= _edges(graph)
    assert _node(graph, "network.blocks.0.add").group == "network.blocks.0"
    assert dict(graph.groups) == {
        "network": "Cnn",
        "network.blocks": "ModuleList",
        "network.blocks.0": "Residual",
        "network.blocks.1": "Residual",
    }
    assert ("pool", "head") in _edges(graph)  # through flatten


def test_vae(pl: Any, tmp_path: Path) -> None:
    graph = _graph(pl, networks.Vae, tmp_path)
    assert {
        ("variance", "exp"),
        ("exp", "mul"),
        ("randn", "mul"),
        ("mul", "add"),
        ("mean", "add"),
        ("add", "decoder.0"),
        ("encoder.1", "mean"),
        ("encoder.1", "variance"),
        ("variance", "loss"),
        ("decoder.2", "loss"),
    } <= _edges(graph)
    ops = [node.name for node in graph.nodes if node.kind == "op"]
    assert ops == ["exp", "randn", "mul", "add"]  # and nothing of the loss, which has an exp of its own


def test_gan_with_manual_optimization(pl: Any, tmp_path: Path) -> None:
    graph = _graph(pl, networks.Gan, tmp_path)
    edges = _edges(graph)
    assert ("generator.2", "discriminator.0#1") in edges  # through detach, on the discriminator's own step
    assert ("generator.2", "discriminator.0") in edges
    assert {("discriminator.2", "loss"), ("discriminator.2#1", "loss"), ("discriminator.2", "loss#1")} <= edges
    assert _node(graph, "network.discriminator.0").programs == ("backward#0", "backward#1")
    assert _node(graph, "network.discriminator.0#1").programs == ("backward#0",)
    assert dict(graph.programs) == {"backward#0": "discriminator (Adam)", "backward#1": "generator (Adam)"}
    assert not any(edge.back for edge in graph.edges)


def test_transformer_of_pytorch(pl: Any, tmp_path: Path) -> None:
    edges = _edges(_graph(pl, networks.Transformer, tmp_path), "network.layers.layers.")
    for layer in ("0", "1"):
        assert {
            (f"{layer}.self_attn", f"{layer}.dropout1"),
            (f"{layer}.dropout1", f"{layer}.add"),
            (f"{layer}.add", f"{layer}.norm1"),
            (f"{layer}.norm1", f"{layer}.add#1"),
            (f"{layer}.linear1", f"{layer}.dropout"),
            (f"{layer}.add#1", f"{layer}.norm2"),
        } <= edges
    assert ("0.norm2", "1.self_attn") in edges
    assert ("0.norm2", "1.add") in edges


def test_transformer_by_hand_with_tied_embeddings(pl: Any, tmp_path: Path) -> None:
    graph = _graph(pl, networks.Tied, tmp_path)
    edges = _edges(graph)
    assert {
        ("blocks.0.qkv", "blocks.0.attention"),
        ("blocks.0.attention", "blocks.0.out"),
        ("embed", "blocks.0.add"),
        ("blocks.0.drop", "blocks.0.add"),
        ("blocks.0.add", "blocks.1.norm"),
        ("blocks.1.add", "head"),
    } <= edges
    assert ("embed", "head") not in edges  # a shared weight is no data flow


def test_gru_loop_folds_and_closes_a_cycle(pl: Any, tmp_path: Path) -> None:
    graph = _graph(pl, networks.Gru, tmp_path)
    assert _node(graph, "network.cell.gates").calls == 7
    assert [node.name for node in graph.nodes if node.kind == "module"] == [
        "network.cell.gates",
        "network.cell.new",
        "network.head",
    ]
    assert any(edge.back for edge in graph.edges)
    forward = {(e.source, e.target) for e in graph.edges if not e.back}
    order = {node.name: index for index, node in enumerate(graph.nodes)}
    assert all(order[source] < order[target] for source, target in forward)


class _Loop(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.Linear(4, 4)

    def forward(self, x: Tensor, turns: int) -> Tensor:
        for _ in range(turns):
            x = torch.tanh(self.cell(x))
        return x.sum()


@pytest.mark.parametrize(
    ("turns", "edges"),
    [
        (3, {("input", "cell"), ("cell", "cell#1"), ("cell#1", "cell#2"), ("cell#2", "loss")}),
        (6, {("input", "cell"), ("cell", "cell"), ("cell", "loss")}),
    ],
)
def test_a_loop_is_unrolled_up_to_four_calls_then_it_is_a_self_edge(
    tmp_path: Path, turns: int, edges: set[tuple[str, str]]
) -> None:
    net = _Loop()
    graph = _recorded(net, tmp_path, lambda x: net(x, turns))
    assert _edges(graph) == edges
    assert [e.source for e in graph.edges if e.back] == (["cell"] if turns == 6 else [])


def test_flow_through_views_in_place_ops_and_buffers(tmp_path: Path) -> None:
    net = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 4), "c": nn.Linear(8, 2)})

    def forward(x: Tensor) -> Tensor:
        both = torch.zeros(3, 8)
        both[:, :4] = net["a"](x)
        both[:, 4:].copy_(net["b"](x))
        with torch.no_grad():
            both.mul_(2)
        return net["c"](both.view(-1, 8).clone()).sum()  # type: ignore[no-any-return]

    assert _edges(_recorded(net, tmp_path, forward)) == {
        ("input", "a"),
        ("input", "b"),
        ("a", "c"),
        ("b", "c"),
        ("c", "loss"),
    }


def test_overwriting_ends_a_flow(tmp_path: Path) -> None:
    net = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 2)})

    def forward(x: Tensor) -> Tensor:
        with torch.no_grad():
            net["a"](x).normal_()
            like = torch.zeros_like(net["a"](x))
        return net["b"](like + x).sum()  # type: ignore[no-any-return]

    assert ("a", "b") not in _edges(_recorded(net, tmp_path, forward))


def test_a_concatenation_of_skips(tmp_path: Path) -> None:
    net = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 4), "c": nn.Linear(8, 2)})

    def forward(x: Tensor) -> Tensor:
        h = net["a"](x)
        return net["c"](torch.cat([h, net["b"](h)], 1)).sum()  # type: ignore[no-any-return]

    assert {("a", "cat"), ("b", "cat"), ("cat", "c")} <= _edges(_recorded(net, tmp_path, forward))


def test_the_events_of_a_traced_batch() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    named = dict(net.named_modules())
    mode = TapeMode(net, named, {module: path for path, module in named.items()}, traced=True)
    x = torch.randn(2, 4)
    with mode:
        mode.batch(x)
        mode.loss(net(x).sum(), 0)
    found = events(mode.course())
    assert [(event.kind, event.path, sorted(event.origins)) for event in found] == [
        ("input", "", []),
        ("module", "0", [0]),
        ("module", "1", [1]),
        ("loss", "", [2]),
    ]


def test_another_path_of_the_model_adds_to_the_graph(tmp_path: Path) -> None:
    net = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 4)})
    optimizer = torch.optim.SGD(net.parameters(), 0.01)
    with Recorder(net, tmp_path, every_n_steps=1) as recorder:
        for step in range(6):
            with recorder.step(x := torch.randn(3, 4)):
                loss = net["b" if step >= 2 else "a"](x).sum()
                recorder.log(loss=loss)
                loss.backward()
                optimizer.step()
    with Run(tmp_path) as run:
        assert run.graph is not None
        assert _edges(run.graph) == {("input", "a"), ("a", "loss"), ("input", "b"), ("b", "loss")}


class _Dropping(nn.Module):
    """Attention and dropout as functions: on the CPU both run as many small ops."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part[:, None] for part in (self.first(x), x * 2, x * 3))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, dropout_p=0.1)
        out: Tensor = self.last(nn.functional.dropout(mixed[:, 0], 0.1))
        return out


def test_attention_with_dropout_is_one_node_and_a_dropout_is_no_sampling(tmp_path: Path) -> None:
    net = _Dropping()
    graph = _recorded(net, tmp_path, lambda batch: net(batch[None]).square().mean())
    assert _edges(graph) == {
        ("input", "first"),
        ("first", "attention"),
        ("input", "attention"),
        ("attention", "last"),
        ("last", "loss"),
    }


def test_flow_through_a_sparse_tensor(tmp_path: Path) -> None:
    net = nn.Linear(4, 2)
    adjacency = torch.eye(3).to_sparse()

    def forward(batch: Tensor) -> Tensor:
        loss: Tensor = torch.sparse.mm(adjacency, net(batch)).square().mean()
        return loss

    assert _edges(_recorded(net, tmp_path, forward)) == {("input", "Linear"), ("Linear", "loss")}
