"""The augmentation of one image at a time, from the numbers that were drawn for it."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from gc2l.models.torchvision_import import torchvision


def padded_crop(image: Tensor, padding: int, draw: Sequence[int]) -> Tensor:
    """`image` (3, H, W) inside a black frame, cut to its size at (top, left), and mirrored or not."""
    top, left, mirrored = draw
    height, width = image.shape[1:]
    window = F.pad(image, (padding,) * 4)[:, top : top + height, left : left + width]
    return window.flip(2) if mirrored else window


def resized_window(image: Tensor, size: int, draw: Sequence[int]) -> Tensor:
    """The window (top, left, height, width) of `image` (3, H, W), resized to `size`, and mirrored or not."""
    top, left, height, width, mirrored = draw
    window = image[:, top : top + height, left : left + width].float()
    resized = torchvision.transforms.functional.resize(window, [size, size], antialias=True)
    return resized.flip(2) if mirrored else resized


def normalised(image: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """`image` (3, H, W) of 0 .. 255, each channel less its mean and over its standard deviation."""
    channels = zip(image.double() / 255, mean, std, strict=True)
    return torch.stack([(channel - centre) / scale for channel, centre, scale in channels]).float()
