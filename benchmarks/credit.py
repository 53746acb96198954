"""Credit: do the parts add up, do they order units as undoing them does, do they find what was planted, the cost."""

from __future__ import annotations

import warnings
from typing import Final

import torch

from benchmarks import credit_completeness, credit_cost, credit_order, credit_planted

HEADING: Final = "Credit"
PACKAGES: Final = ("torch", "captum", "numpy")


def run(targets: int = 16, networks: int = 5, seeds: int = 20, repeats: int = 7) -> str:
    """All tables as Markdown; one torch thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # captum's, about the hooks that it sets
            parts = [
                credit_completeness.run(targets),
                credit_order.run(networks),
                credit_planted.run(seeds),
                credit_cost.run(repeats),
            ]
    finally:
        torch.set_num_threads(threads)
    return "One torch thread.\n\n" + "\n\n".join(parts)
