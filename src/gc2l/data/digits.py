"""The handwritten digits that come with scikit-learn: 1,797 images of 8 x 8 pixels in 17 shades of grey."""

import numpy as np
from sklearn.datasets import load_digits as bundled_digits

from gc2l.data.arrays import ImageSet, canonical, image_set
from gc2l.data.info import dataset_info


def load_digits() -> ImageSet:
    """Read them in three equal channels; rows sorted by digest are split into the first 1,437 and the last 360."""
    grey, labels = bundled_digits(return_X_y=True)
    shades = np.round(grey.reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    images, labels, _ = canonical(shades.repeat(3, axis=3), labels)
    train_rows = dataset_info("digits").train_rows
    return image_set((images[:train_rows], labels[:train_rows]), (images[train_rows:], labels[train_rows:]))
