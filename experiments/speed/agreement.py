"""Whether programs compute the same: without that nothing is compared."""

from collections.abc import Mapping

Losses = Mapping[str, float]
"""Of one program, by the names in `programs.Losses`."""

TOLERANCES = {"training": 5e-4, "evaluation": 1e-4, "second_step": 2e-2}
"""How far a number of a program may be from fer_jax's, relative to it, in float32.

In training PyTorch's own batch normalisation loses digits: in channels_last it is 2e-4 off float64 after one layer of
`mnist_15k`, and the loss of `fer2013_vgg` is 2.3e-4 off where all others agree to 2e-6. The last is for the change of
the loss by one step of Adam, which makes a whole step of the sign of each gradient, however small that is."""
WORDS = {
    "training": "the loss of the first batch",
    "evaluation": "the loss in evaluation",
    "second_step": "the change of the loss by one step",
}


def disagreements(network: str, losses: Mapping[str, Losses]) -> list[str]:
    """A clause for each number of a program that is not fer_jax's; none if all agree.

    Args:
      network: for the words.
      losses: of each program, 'fer_jax' among them.
    """
    return [
        f"{network}: {WORDS[name]} is {_number(values, name):.6f} in {program} and "
        f"{_number(losses['fer_jax'], name):.6f} in fer_jax, further apart than {tolerance:g} of it"
        for program, values in losses.items()
        for name, tolerance in TOLERANCES.items()
        # A number that is none agrees with nothing.
        if not difference(values, losses["fer_jax"], name) <= tolerance
    ]


def difference(theirs: Losses, ours: Losses, name: str) -> float:
    """How far apart two programs are, relative to `ours`."""
    return abs(_number(theirs, name) - _number(ours, name)) / abs(_number(ours, name))


def largest(losses: Mapping[str, Losses], name: str) -> float:
    """The largest difference of a program from fer_jax."""
    return max(difference(values, losses["fer_jax"], name) for values in losses.values())


def _number(losses: Losses, name: str) -> float:
    return losses[name] - losses["training"] if name == "second_step" else losses[name]
