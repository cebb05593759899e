"""The sizes, classes and pixel statistics of each data set."""

from dataclasses import dataclass

from gc2l.names import unknown

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """Published figures of a data set.

    Attributes:
        num_classes: number of classes.
        image_size: side of the images, in pixels, that a network sees unless the configuration says otherwise.
        train_rows: images to train on.
        test_rows: images to test on (the validation set of Imagenette and ImageNet).
        mean: mean of red, green and blue over the training set, in units of the full brightness.
        std: standard deviation of the same.
    """

    num_classes: int
    image_size: int
    train_rows: int
    test_rows: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


_DATASETS = {
    "digits": DatasetInfo(
        num_classes=10, image_size=8, train_rows=1437, test_rows=360, mean=(0.30483,) * 3, std=(0.37572,) * 3
    ),
    "cifar10": DatasetInfo(
        num_classes=10,
        image_size=32,
        train_rows=50_000,
        test_rows=10_000,
        mean=(0.49140, 0.48216, 0.44653),
        std=(0.24703, 0.24349, 0.26159),
    ),
    "cifar100": DatasetInfo(
        num_classes=100,
        image_size=32,
        train_rows=50_000,
        test_rows=10_000,
        mean=(0.50707, 0.48655, 0.44092),
        std=(0.26733, 0.25644, 0.27615),
    ),
    "imagenette": DatasetInfo(
        num_classes=10, image_size=128, train_rows=9469, test_rows=3925, mean=_IMAGENET_MEAN, std=_IMAGENET_STD
    ),
    "imagenet": DatasetInfo(
        num_classes=1000,
        image_size=224,
        train_rows=1_281_167,
        test_rows=50_000,
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
    ),
}


def dataset_info(name: str) -> DatasetInfo:
    """The published figures of one data set.

    Raises:
        ValueError: an unknown name.
    """
    if name not in _DATASETS:
        raise unknown("data.name", name, _DATASETS)
    return _DATASETS[name]
