"""A network as other runtimes are given it: the same numbers to rounding, in the operations that every runtime has."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from fer_jax.models.layers import BATCH_NORM_EPSILON, BatchNorm, MaxPool, SpaceToDepth
from fer_jax.models.lowering import NHWC
from fer_jax.models.network import Network

Variables = Mapping[str, Any]


def inference_logits(model: Network, variables: Variables, images: jax.Array) -> jax.Array:
    """uint8 images [N, H, W, C] -> logits [N, classes]; N may be symbolic.

    What is written for training gives way to what it means at inference: images lie in memory as [N, H, W, C],
    convolutions are the platform's own, a pooling is one operation (training has its gradient in mind), and BatchNorm
    is one multiplication and one addition by constants. Nothing random is left.

    Args:
      model: the network.
      variables: {'params': ..., 'batch_stats': ...}, arrays on the host.
      images: to classify.
    """
    with nn.intercept_methods(_in_plain_operations):
        return model.clone(layout=NHWC).apply(variables, images, train=False)  # type: ignore[return-value]


def _in_plain_operations(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
    plain = _PLAIN.get(type(context.module))
    if plain is None or context.method_name != "__call__":
        return call(*args, **kwargs)
    return plain(context.module, args[0])


def _max_pool(layer: MaxPool, x: jax.Array) -> jax.Array:
    return nn.max_pool(x, window_shape=(2, 2), strides=(2, 2), padding=layer.padding)


def _space_to_depth(layer: SpaceToDepth, x: jax.Array) -> jax.Array:
    batch, height, width, channels = x.shape
    squares = x.reshape(batch, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 2, 4, 5)
    return squares.reshape(batch, height // 2, width // 2, 4 * channels)


def _batch_norm(layer: BatchNorm, x: jax.Array) -> jax.Array:
    # NumPy computes here and now; what JAX computes would be in every exported graph.
    own = layer.variables
    params = {name: np.asarray(value) for name, value in own["params"].items()}
    mean, var = (np.asarray(own["batch_stats"][name]) for name in ("mean", "var"))
    multiplier = params["scale"] / np.sqrt(var + np.asarray(BATCH_NORM_EPSILON, var.dtype))
    offset = params["bias"] - mean * multiplier
    return x * multiplier.astype(x.dtype).reshape(1, 1, 1, -1) + offset.astype(x.dtype).reshape(1, 1, 1, -1)


_PLAIN: dict[type, Any] = {MaxPool: _max_pool, SpaceToDepth: _space_to_depth, BatchNorm: _batch_norm}
