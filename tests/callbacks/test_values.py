from __future__ import annotations

import gc
import weakref

import pytest
import torch

from lightning_callbacks.values import Values


def test_a_value_is_known_by_its_object_alone() -> None:
    values, x = Values(), torch.zeros(2, 3)
    value = values.add(x)
    assert values.known(x) == value
    assert values.known(x.view(2, 3)) is None
    assert values.lying_there(x.view(2, 3)) == value
    assert values.lying_there(x.t()) is None


def test_views_share_memory_and_fill_it_or_not() -> None:
    values, x = Values(), torch.zeros(2, 3)
    whole, turned, row = (values.part(part) for part in (x, x.t(), x[0]))
    assert whole.memory == turned.memory == row.memory
    assert (whole.whole, turned.whole, row.whole) == (True, True, False)
    assert (turned.shape, row.shape) == ((3, 2), (3,))
    assert values.part(torch.zeros(2, 3)).memory != whole.memory


def test_nothing_is_kept_alive_and_nothing_is_taken_for_what_is_gone() -> None:
    values = Values()
    memories = set()
    for size in range(1, 200):
        x = torch.zeros(size % 3 + 1)
        assert values.known(x) is values.lying_there(x) is None
        memories.add(values.parts[values.add(x)].memory)
        gone = weakref.ref(x)
        del x
        gc.collect(0)
        assert gone() is None
    assert len(memories) == 199  # although their addresses come again


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_what_has_no_strided_memory_has_a_memory_of_its_own() -> None:
    values = Values()
    sparse = torch.eye(3).to_sparse()
    nested = torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])
    for tensor in (sparse, nested, torch.zeros(3, device="meta")):
        part = values.part(tensor)
        assert part == values.part(tensor) == values.parts[values.add(tensor)]
        assert part.whole
    assert len({part.memory for part in values.parts}) == 3


def test_a_source_that_was_changed_from_outside_is_another() -> None:
    values, x = Values(), torch.zeros(3)
    value = values.add(x)
    values.came(value, x)
    x.add_(1)
    assert values.meant(value, x) is None
    values.wrote(value, x)  # by an op of the program
    assert values.meant(value, x) == value


def test_what_autograd_detached_means_what_it_was_detached_from() -> None:
    values = Values()
    x = torch.zeros(3, requires_grad=True).exp()
    first, second = values.add(x), values.add(x.detach())
    values.detached(second, first)
    assert values.meant(second, x) == first
    assert values.meant(second, x.detach()) == second


def test_what_is_forgotten_or_copied_is_not_found() -> None:
    values, x = Values(), torch.zeros(3)
    values.add(x)
    values.forget(x)
    assert values.known(x) is values.lying_there(x) is None
    copied = values.copy(x)
    assert values.known(x) is None
    assert values.parts[copied].memory != values.part(x).memory
