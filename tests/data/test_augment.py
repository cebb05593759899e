"""Whole-batch augmentation against loops over single images, and the distribution of the draws."""

import numpy as np
import pytest
import torch
from data.single_images import padded_crop, resized_window

from gc2l.data.augment import crop_and_flip, draw_boxes, draw_crops, normalise, resized_crop_and_flip
from gc2l.data.loader import epoch_generator
from gc2l.models.torchvision_import import torchvision

ROWS = 40_000


def images(count: int, height: int, width: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=epoch_generator(0, 0))


def test_crop_by_hand() -> None:
    image = torch.tensor([[[[1, 2], [3, 4]]]], dtype=torch.uint8)
    draws = torch.tensor([[1, 1, 0], [0, 0, 0], [2, 1, 0], [1, 1, 1], [1, 2, 1]])
    found = crop_and_flip(image.expand(5, -1, -1, -1), draws, padding=1)
    expected = [[[1, 2], [3, 4]], [[0, 0], [0, 1]], [[3, 4], [0, 0]], [[2, 1], [4, 3]], [[0, 2], [0, 4]]]
    assert found[:, 0].tolist() == expected


@pytest.mark.parametrize(("size", "padding"), [(32, 4), (8, 1)])
def test_crop_and_flip_equals_a_loop(size: int, padding: int) -> None:
    batch = images(50, size, size)
    draws = draw_crops(50, padding, flip=True, generator=epoch_generator(1, 2))
    found = crop_and_flip(batch, draws, padding)
    assert found.dtype == torch.uint8
    for image, draw, result in zip(batch, draws.tolist(), found, strict=True):
        assert torch.equal(result, padded_crop(image, padding, draw))


def test_crops_are_uniform_over_81_places_and_half_are_mirrored() -> None:
    draws = draw_crops(ROWS, 4, flip=True, generator=epoch_generator(1, 0))
    counts = torch.bincount(draws[:, 0] * 9 + draws[:, 1], minlength=81)
    expected = ROWS / 81
    chi_square = ((counts - expected) ** 2 / expected).sum().item()
    assert len(counts) == 81
    assert 42 < chi_square < 132  # 80 degrees of freedom: four standard deviations, and the seed is fixed
    assert abs(draws[:, 2].float().mean().item() - 0.5) < 4 * 0.5 / ROWS**0.5


def test_no_mirroring_where_it_is_not_asked_for() -> None:
    assert not draw_crops(100, 1, flip=False, generator=epoch_generator(1, 0))[:, 2].any()


@pytest.mark.parametrize(("height", "width", "size"), [(128, 128, 64), (128, 128, 128), (40, 40, 64), (30, 50, 16)])
def test_resized_crop_equals_torchvision_image_by_image(height: int, width: int, size: int) -> None:
    batch = images(30, height, width)
    draws = draw_boxes(30, height, width, epoch_generator(3, 4))
    found = resized_crop_and_flip(batch, draws, size)
    assert draws[:, 4].any()
    for image, draw, result in zip(batch, draws.tolist(), found, strict=True):
        # float32 values up to 255, summed in another order.
        torch.testing.assert_close(result, resized_window(image, size, draw), rtol=0, atol=2e-3)


def test_windows_are_distributed_as_torchvisions() -> None:
    draws = draw_boxes(ROWS, 128, 128, epoch_generator(5, 0)).numpy()
    top, left, height, width = draws[:, :4].T
    assert (draws[:, :2] >= 0).all()
    assert (top + height <= 128).all()
    assert (left + width <= 128).all()
    image = torch.empty(3, 128, 128)
    get_params = torchvision.transforms.RandomResizedCrop.get_params
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        reference = np.array([get_params(image, scale=[0.08, 1.0], ratio=[3 / 4, 4 / 3]) for _ in range(10_000)])
    quantiles = [0.05, 0.25, 0.5, 0.75, 0.95]
    for found, expected in zip((top, left, height, width), reference.T, strict=True):
        # A quantile of 10,000 values in 0 .. 128 scatters by about half a pixel.
        assert np.abs(np.quantile(found, quantiles) - np.quantile(expected, quantiles)).max() <= 2
    assert np.mean(height * width) == pytest.approx(np.mean(reference[:, 2] * reference[:, 3]), rel=0.02)
    assert abs(draws[:, 4].mean() - 0.5) < 4 * 0.5 / ROWS**0.5
    # As often wide as high, because the ratio's logarithm is drawn evenly; an even ratio has a mean of 0.027 here.
    log_ratio = np.log(width / height)
    assert abs(log_ratio.mean()) < 4 * log_ratio.std() / ROWS**0.5


def test_windows_that_never_fit_are_the_whole_image() -> None:
    draws = draw_boxes(5, 4, 1000, epoch_generator(0, 0))  # the smallest window is 15 pixels high
    assert (draws[:, :4] == torch.tensor([0, 0, 4, 1000])).all()


def test_normalise_by_hand() -> None:
    batch = torch.tensor([[[[0]], [[255]], [[51]]]], dtype=torch.uint8)
    found = normalise(batch, torch.tensor([0.5, 0.5, 0.2]), torch.tensor([0.25, 0.5, 0.1]))
    torch.testing.assert_close(found.flatten(), torch.tensor([-2.0, 1.0, 0.0]))
