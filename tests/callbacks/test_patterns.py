from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from dgm_tb.errors import UsageError
from lightning_callbacks import patterns


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 2)


def _named() -> dict[str, nn.Module]:
    net = nn.ModuleDict({"encoder": nn.ModuleList([Block(), Block()]), "head": nn.Linear(2, 1)})
    return dict(net.named_modules())


def test_a_regular_expression_is_searched_for_in_paths() -> None:
    pattern = patterns.pattern("include", r"^encoder\.\d$")
    assert [path for path, module in _named().items() if pattern.matches(path, module)] == ["encoder.0", "encoder.1"]


def test_a_type_names_its_modules_and_covers_what_is_inside() -> None:
    pattern, named = patterns.pattern("exclude", Block), _named()
    assert [path for path, module in named.items() if pattern.matches(path, module)] == ["encoder.0", "encoder.1"]
    covered = [path for path in named if pattern.covers(path, named)]
    assert covered == ["encoder.0", "encoder.0.fc", "encoder.1", "encoder.1.fc"]


def test_the_type_of_the_outermost_module_covers_everything() -> None:
    named = {"Block": (net := Block()), "fc": net.fc}
    assert all(patterns.pattern("groups", Block).covers(path, named) for path in named)


def test_a_regular_expression_covers_only_what_it_matches() -> None:
    pattern, named = patterns.pattern("exclude", r"^encoder\.0$"), _named()
    assert [path for path in named if pattern.covers(path, named)] == ["encoder.0"]


@pytest.mark.parametrize(
    ("given", "count"), [(None, 0), ("a", 1), (nn.Linear, 1), (["a", nn.Linear], 2), ((nn.ReLU,), 1)]
)
def test_one_or_several_and_mixed(given: Any, count: int) -> None:
    assert len(patterns.parse("include", given)) == count


@pytest.mark.parametrize("given", ["(", 3, int, object()])
def test_what_is_neither_is_an_error(given: Any) -> None:
    with pytest.raises(UsageError, match=r"include=.*neither a regular expression nor a module type"):
        patterns.pattern("include", given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("encodr", "did you mean 'encoder' or"),
        (r"^encoder\.0\.fcc$", "did you mean 'encoder.0.fc'"),
        ("hed", "did you mean 'head'?"),
        ("zzzzz", "paths look like: encoder, encoder.0,"),
    ],
)
def test_a_pattern_that_names_nothing_is_told_what_is_near(given: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        patterns.found([patterns.pattern("exclude", given)], _named())
    assert f"exclude={given!r} matches no module path" in str(error.value)
    assert said in str(error.value)


def test_a_type_that_is_not_there_is_told_what_is() -> None:
    with pytest.raises(UsageError, match=r"exclude=Bilinear: .* did you mean Linear\?"):
        patterns.found([patterns.pattern("exclude", nn.Bilinear)], _named())
    with pytest.raises(UsageError, match=r"exclude=GRU: .* its types are: Block, Linear"):
        patterns.found([patterns.pattern("exclude", nn.GRU)], _named())
