"""Augmentation of whole batches, as pure functions of images and random draws.

Draws are made on the CPU for a whole epoch, one row for each image, so that they do not depend on the device, the
batch size or the number of workers. Shapes: N images, H x W pixels each, S the side of a crop.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

SCALE = (0.08, 1.0)  # range of a random crop's area, as a share of the image's, and
RATIO = (3 / 4, 4 / 3)  # of its width over its height: those of torchvision's RandomResizedCrop
ATTEMPTS = 10


def draw_crops(rows: int, padding: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Where to cut the padded images, uniform, and whether to mirror them.

    Returns:
        int64, (rows, 3): top, left (each 0 .. 2 padding), and 1 to mirror (half of the rows) or 0.
    """
    offsets = torch.randint(0, 2 * padding + 1, (rows, 2), generator=generator)
    mirrored = torch.randint(0, 2, (rows, 1), generator=generator) if flip else torch.zeros(rows, 1, dtype=torch.int64)
    return torch.cat([offsets, mirrored], dim=1)


def crop_and_flip(images: Tensor, draws: Tensor, padding: int) -> Tensor:
    """Pad with black, cut a window of the original size out of each image, mirror some.

    Args:
        images: (N, C, H, W), any dtype.
        draws: (N, 3) of `draw_crops`.
        padding: pixels on every side.

    Returns:
        (N, C, H, W), same dtype.
    """
    count, channels, height, width = images.shape
    padded = F.pad(images, (padding,) * 4)  # (N, C, H + 2p, W + 2p)
    top, left, mirrored = draws[:, :, None].unbind(1)  # (N, 1) each
    rows = top + torch.arange(height, device=images.device)  # (N, H)
    columns = torch.arange(width, device=images.device)
    columns = left + torch.where(mirrored == 1, width - 1 - columns, columns)  # (N, W)
    rows = rows[:, None, :, None].expand(count, channels, height, padded.shape[3])
    columns = columns[:, None, None, :].expand(count, channels, height, width)
    return padded.gather(2, rows).gather(3, columns)


def draw_boxes(rows: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Windows of random area and aspect ratio, distributed as those of torchvision's RandomResizedCrop.

    A window that does not fit is drawn again, up to ten times; after that it is the whole image, which is
    torchvision's choice too when the image's own ratio lies within `RATIO`.

    Returns:
        int64, (rows, 5): top, left, height, width of the window, and 1 to mirror (half of the rows) or 0.
    """
    area = torch.empty(rows, ATTEMPTS).uniform_(*SCALE, generator=generator) * (height * width)
    log_ratio = torch.empty(rows, ATTEMPTS).uniform_(math.log(RATIO[0]), math.log(RATIO[1]), generator=generator)
    heights = torch.sqrt(area / log_ratio.exp()).round().long()
    widths = torch.sqrt(area * log_ratio.exp()).round().long()
    fits = (heights > 0) & (heights <= height) & (widths > 0) & (widths <= width)
    first = fits.int().argmax(dim=1, keepdim=True)  # argmax gives the first of equal values
    any_fits = fits.any(dim=1)
    box_height = torch.where(any_fits, heights.gather(1, first)[:, 0], height)
    box_width = torch.where(any_fits, widths.gather(1, first)[:, 0], width)
    place = torch.rand(2, rows, generator=generator, dtype=torch.float64)
    top = (place[0] * (height - box_height + 1)).long()
    left = (place[1] * (width - box_width + 1)).long()
    mirrored = torch.randint(0, 2, (rows,), generator=generator)
    return torch.stack([top, left, box_height, box_width, mirrored], dim=1)


def resized_crop_and_flip(images: Tensor, draws: Tensor, size: int) -> Tensor:
    """Cut a window out of each image, resize it to `size` x `size` (bilinear, antialiased), mirror some.

    Resizing is linear and separable, so one batch is two products with a matrix for each image.

    Args:
        images: (N, C, H, W), uint8 or floating.
        draws: (N, 5) of `draw_boxes`.
        size: side S of the result.

    Returns:
        float32, (N, C, S, S), in the units of `images`.
    """
    top, left, box_height, box_width, mirrored = draws.unbind(1)
    vertical = _resize_weights(top, box_height, images.shape[2], size)  # (N, S, H)
    horizontal = _resize_weights(left, box_width, images.shape[3], size)  # (N, S, W)
    horizontal = torch.where(mirrored[:, None, None] == 1, horizontal.flip(1), horizontal)
    narrow = images.float().flatten(1, 2) @ horizontal.transpose(1, 2)  # (N, C H, S)
    return vertical[:, None] @ narrow.unflatten(1, images.shape[1:3])  # (N, C, S, S)


def _resize_weights(start: Tensor, length: Tensor, extent: int, size: int) -> Tensor:
    """Share of each of `extent` pixels in each of `size` new ones over the window (start, length): (N, S, extent).

    The weights of a new pixel fall off linearly from its centre, over one old pixel or, when the window shrinks, over
    one new pixel, and sum to 1 inside the window.
    """
    old = torch.arange(extent, device=start.device) - start[:, None]  # (N, extent), counted from the window's start
    inside = (old >= 0) & (old < length[:, None])
    scale = (length / size)[:, None]  # (N, 1), old pixels in a new one
    centre = (torch.arange(size, device=start.device) + 0.5) * scale  # (N, S)
    distance = (old[:, None, :] + 0.5 - centre[:, :, None]).abs() / scale.clamp(min=1)[:, :, None]
    weights = (1 - distance).clamp(min=0) * inside[:, None, :]
    return weights / weights.sum(dim=2, keepdim=True)


def normalise(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Pixels 0 .. 255 to float32 of mean 0 and standard deviation 1; `mean`, `std` (3,) in units of full brightness."""
    return (images.float() - 255 * mean[:, None, None]) / (255 * std[:, None, None])
