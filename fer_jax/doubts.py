"""What of a config is allowed, and yet probably not what was meant: told when training begins."""

from collections.abc import Mapping
from typing import Any

from fer_jax import losses, optim
from fer_jax.config import defaults
from fer_jax.schedules import OPTIONS


def doubts(config: Mapping[str, Any]) -> list[str]:
    """A sentence for each doubt about a resolved config; a fork may have changed a schedule and kept its options."""
    found = []
    schedule, plain = config["optim"]["schedule"], defaults(optim.create)
    for key in sorted({key for options in OPTIONS.values() for key in options} - set(OPTIONS[schedule])):
        value = (config["vary"] or {}).get(f"optim.{key}", config["optim"][key])
        if value != plain[key]:
            users = " and ".join(f"'{name}'" for name, options in OPTIONS.items() if key in options)
            found.append(
                f"config.optim.{key} = {value} changes nothing under config.optim.schedule = '{schedule}': it is of "
                f"{users}"
            )
    loss, plain = config["loss"], defaults(losses.create)
    corrections = [
        f"config.loss.{key} = {loss[key]!r}" for key in ("class_weights", "logit_adjustment") if loss[key] != plain[key]
    ]
    if config["sampling"] == "balanced":
        corrections.insert(0, "config.sampling = 'balanced'")
    if len(corrections) > 1:
        found.append(
            f"{' and '.join(corrections)} each make up for classes of different sizes: together they do it more than "
            "once"
        )
    return found
