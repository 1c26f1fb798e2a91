"""Two networks on the same images: where they differ, and whether chance alone could make them."""

from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest

from fer_jax.scores import NORMAL_QUANTILE

TEST = "McNemar's exact test, two-sided"
INTERVAL = "95 % interval of the paired difference, by the normal approximation"


class Paired(NamedTuple):
    """How two networks answer the same images.

    Attributes:
      both: images that both classify rightly,
      first: that only the first does,
      second: that only the second does,
      neither: that none does.
      difference: accuracy of the first less that of the second, -1 to 1.
      interval: of the difference, (low, high).
      p_value: of the images that one alone classifies rightly, how probable a division as uneven as this, or more, is
        if each network is as likely as the other to be the one that is right.
    """

    both: int
    first: int
    second: int
    neither: int
    difference: float
    interval: tuple[float, float]
    p_value: float


def paired(first: np.ndarray, second: np.ndarray) -> Paired:
    """Compares which images two networks classify rightly: bool [N] each, N at least 1."""
    number = len(first)
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    discordant = only_first + only_second
    difference = (only_first - only_second) / number
    # The variance of a mean of values 1, -1 and 0.
    half_width = NORMAL_QUANTILE * float(np.sqrt(max(discordant / number - difference**2, 0.0) / number))
    return Paired(
        both=int((first & second).sum()),
        first=only_first,
        second=only_second,
        neither=int((~first & ~second).sum()),
        difference=difference,
        interval=(difference - half_width, difference + half_width),
        p_value=float(binomtest(only_first, discordant).pvalue) if discordant else 1.0,
    )
