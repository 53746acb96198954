"""The demo's images: patches of the two colour photographs that scikit-learn ships (a temple, a flower)."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from sklearn.datasets import load_sample_images
from torch import Tensor

#: Side of a patch and distance between neighbours, in pixels; 7,700 patches, about a third of them flat sky or blur.
SIDE: Final = 32
STRIDE: Final = 8


def patches() -> Tensor:
    """All patches in [0, 1], float32 ``(patches, 3, SIDE, SIDE)``, in a fixed order."""
    return torch.cat([_cut(torch.from_numpy(np.array(image))) for image in load_sample_images().images])


def _cut(image: Tensor) -> Tensor:
    """``(height, width, 3)`` bytes → ``(patches, 3, SIDE, SIDE)``."""
    windows = image.permute(2, 0, 1).unfold(1, SIDE, STRIDE).unfold(2, SIDE, STRIDE)
    return windows.permute(1, 2, 0, 3, 4).reshape(-1, 3, SIDE, SIDE).float() / 255


def standardised(images: Tensor) -> Tensor:
    """Each channel with mean 0 and standard deviation 1 over all of ``images``; shapes as `patches`."""
    over = (0, 2, 3)
    return (images - images.mean(over, keepdim=True)) / images.std(over, keepdim=True)
