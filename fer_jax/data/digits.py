"""The embedded digits: scikit-learn's 1,797 real 8x8 digits, in the size of MNIST's, with no file to find."""

import numpy as np

from fer_jax.data.dataset import DataSet, Split

_TRAIN = 1437


def load(data_dir: str = "") -> DataSet:
    """Loads the digits from the installed scikit-learn.

    Each value 0..16 becomes 0..255, each pixel 3x3 pixels, and a margin of 2 is put around. Which example is in which
    split is drawn once, by seed 0.

    Args:
      data_dir: not used; every loader takes it.

    Returns:
      'train' with 1,437 and 'test' with 360 examples, images [N, 28, 28, 1].
    """
    from sklearn.datasets import load_digits  # Here, as it takes a second that other data sets need not spend.

    digits = load_digits()
    small = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    images = np.kron(small, np.ones((1, 3, 3), np.uint8))
    images = np.pad(images, ((0, 0), (2, 2), (2, 2)))[..., None]
    labels = digits.target.astype(np.int32)
    order = np.random.RandomState(0).permutation(len(labels))
    train, test = order[:_TRAIN], order[_TRAIN:]
    return DataSet(
        name="digits",
        splits={"train": Split(images[train], labels[train]), "test": Split(images[test], labels[test])},
        class_names=tuple(str(digit) for digit in range(10)),
        source="scikit-learn's 1,797 real 8x8 digits, scaled up to 28x28",
    )
