"""Whether programs compute the same: without that nothing is compared."""

from collections.abc import Mapping

TOLERANCES = {"training": 1e-4, "evaluation": 1e-4, "second_step": 1e-3}
"""How far a loss may be from fer_jax's, relative to it. All are float32; the last is behind a step of Adam, which turns
the sign of a tiny gradient into a whole step."""
WORDS = {
    "training": "the loss of the first batch",
    "evaluation": "the loss in evaluation",
    "second_step": "the loss after one step",
}


def disagreements(network: str, losses: Mapping[str, Mapping[str, float]]) -> list[str]:
    """A clause for each loss of a program that is not fer_jax's; none if all agree.

    Args:
      network: for the words.
      losses: of each program, 'fer_jax' among them, by the names in `programs.Losses`.
    """
    found = []
    for program, values in losses.items():
        for name, tolerance in TOLERANCES.items():
            ours, theirs = losses["fer_jax"][name], values[name]
            # A loss that is not a number agrees with nothing.
            if not abs(theirs - ours) <= tolerance * abs(ours):
                found.append(
                    f"{network}: {WORDS[name]} is {theirs:.6f} in {program} and {ours:.6f} in fer_jax, "
                    f"further apart than {tolerance:g} of it"
                )
    return found


def largest(losses: Mapping[str, Mapping[str, float]], name: str) -> float:
    """The largest difference from fer_jax's loss of that name, relative to it."""
    ours = losses["fer_jax"][name]
    return max(abs(values[name] - ours) / abs(ours) for values in losses.values())
