"""The inference function that is exported: uint8 images -> probabilities."""

from collections.abc import Callable, Mapping
from typing import Any

import jax

from fer_jax.models import Network
from fer_jax.models.inference import inference_logits


def logits_of(model: Network, variables: Mapping[str, Any]) -> Callable[[jax.Array], jax.Array]:
    """The network as a function of uint8 images [N, H, W, C] -> logits [N, classes], with the variables in it."""

    def logits(images: jax.Array) -> jax.Array:
        # A GPU or TPU would round the factors of each product to fewer bits.
        with jax.default_matmul_precision("highest"):
            return inference_logits(model, variables, images)

    return logits


def probabilities_of(model: Network, variables: Mapping[str, Any]) -> Callable[[jax.Array], jax.Array]:
    """As `logits_of`, with the softmax: float32 [N, classes]."""
    logits = logits_of(model, variables)
    return lambda images: jax.nn.softmax(logits(images).astype("float32"), axis=-1)
