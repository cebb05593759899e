"""Every row once an epoch, and an epoch that depends on the seed and its number alone."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from gc2l.data import decode
from gc2l.data.arrays import ImageSplit
from gc2l.data.augment import draw_crops
from gc2l.data.loader import EvaluationLoader, TrainLoader


def split(rows: int) -> ImageSplit:
    return ImageSplit(torch.zeros(rows, 3, 4, 4, dtype=torch.uint8), torch.arange(rows))


def train_loader(rows: int, batch_size: int, seed: int = 1) -> TrainLoader:
    def draw(count: int, generator: torch.Generator) -> torch.Tensor:
        return draw_crops(count, 4, True, generator)

    return TrainLoader(split(rows), batch_size=batch_size, seed=seed, draw=draw)


def epoch(loader: TrainLoader, number: int) -> tuple[list[int], list[list[int]]]:
    """The labels, which are row numbers, and the draws, in order."""
    loader.sampler.set_epoch(number)
    batches = list(loader)
    assert len(batches) == len(loader)
    return torch.cat([batch[1] for batch in batches]).tolist(), torch.cat([batch[2] for batch in batches]).tolist()


@pytest.mark.parametrize(("rows", "batch_size", "seen"), [(20, 8, 20), (16, 8, 16), (17, 8, 16), (5, 1, 5), (3, 8, 3)])
def test_every_row_once_but_a_last_batch_of_one(rows: int, batch_size: int, seen: int) -> None:
    labels, _ = epoch(train_loader(rows, batch_size), 0)
    assert len(labels) == len(set(labels)) == seen


def test_an_epoch_depends_on_seed_and_number_alone() -> None:
    first = train_loader(50, 8)
    history = [epoch(first, number) for number in range(4)]
    assert epoch(train_loader(50, 8), 3) == history[3]
    assert epoch(train_loader(50, 8, seed=2), 3) != history[3]
    labels, draws = zip(*history, strict=True)
    assert len({tuple(order) for order in labels}) == 4
    assert draws[0] != draws[1]


def test_an_epoch_does_not_depend_on_the_batch_size_or_the_global_generator() -> None:
    expected = epoch(train_loader(50, 8), 1)
    torch.rand(5)
    assert epoch(train_loader(50, 10), 1) == expected


def test_an_iterator_made_before_the_epoch_is_set_follows_it() -> None:
    loader = train_loader(50, 8)
    iterator = iter(loader)  # Lightning does so when it resumes
    loader.sampler.set_epoch(7)
    assert next(iterator)[1].tolist() == epoch(train_loader(50, 8), 7)[0][:8]


def test_evaluation_gives_all_rows_in_order() -> None:
    loader = EvaluationLoader(split(17), batch_size=8)
    assert torch.cat([labels for _, labels in loader]).tolist() == list(range(17))
    assert len(loader) == 3


@pytest.mark.parametrize("cores", [1, 7])
def test_the_order_of_images_does_not_depend_on_the_number_of_cores(
    cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    encoded = []
    for number, image in enumerate(images):
        Image.fromarray(image).save(stream := io.BytesIO(), "PNG")
        encoded.append(decode.EncodedImage(f"image {number}", stream.getvalue()))
    monkeypatch.setattr(decode, "usable_cores", lambda: cores)
    monkeypatch.setattr(decode, "_CHUNK", 3)
    assert np.array_equal(decode.decode_all(encoded), images)
