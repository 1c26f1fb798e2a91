"""What 8-bit integers cost: the float and the 8-bit form of one network on the test split."""

import json
from typing import NamedTuple

import numpy as np

CALIBRATION_IMAGES = 500
"""Of the training split, on which the quantiser sees how large activations become."""


class TestScores(NamedTuple):
    """Both forms on the test split.

    Attributes:
      images: how many it has.
      float_accuracy: of the float form, from 0 to 1.
      int8_accuracy: of the 8-bit form.
      other_labels: images that the two label differently.
    """

    images: int
    float_accuracy: float
    int8_accuracy: float
    other_labels: int

    @property
    def cost(self) -> float:
        """By how much the accuracy falls, in percentage points; negative where it rises."""
        return 100 * (self.float_accuracy - self.int8_accuracy)


def on_test_split(floats: np.ndarray, int8: np.ndarray, labels: np.ndarray) -> TestScores:
    """The scores of two forms from their probabilities [N, classes] and the labels [N]."""
    first, second = floats.argmax(1), int8.argmax(1)
    return TestScores(
        len(labels), float((first == labels).mean()), float((second == labels).mean()), int((first != second).sum())
    )


def metadata_of(test: TestScores, calibration_images: int) -> dict[str, str]:
    """What an 8-bit file says of itself."""
    return {"int8": json.dumps({**test._asdict(), "cost_in_points": test.cost, "calibrated_on": calibration_images})}
