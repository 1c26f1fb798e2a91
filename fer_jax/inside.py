"""What a network looks at: which pixels an answer hangs on, and what its layers make of an image.

All is computed in NHWC, without Dropout and with the moving statistics, in float32 or the type of images of floats.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from fer_jax.models.lowering import NHWC
from fer_jax.models.network import Network
from fer_jax.models.trace import LayerCall, trace
from fer_jax.summary import Row, describe

Variables = Mapping[str, Any]
FEWEST = 5
STEPS = 64
"""Of the sum that stands for the integral of integrated gradients."""


class Layers(NamedTuple):
    """The layers of a network that have feature maps.

    Attributes:
      first: the name of the first convolution.
      last: that of the last one whose maps have `FEWEST` places a side (or of the last with more than one place):
        behind it every place sees nearly the whole image, and says little of where.
    """

    first: str
    last: str


def layers_of(model: Network) -> Layers:
    """The first convolution of a network and the last one with a map.

    Raises:
      ValueError: it has no convolution.
    """
    maps = [call for call in trace(model, model.image_shape) if _is_convolution(call)]
    if not maps:
        raise ValueError("the network has no convolution")
    found = ([call.name for call in maps if min(call.output_shape[:2]) >= fewest] for fewest in (FEWEST, 2, 1))
    return Layers(maps[0].name, next(names for names in found if names)[-1])


def _is_convolution(call: LayerCall) -> bool:
    return len(call.output_shape) == 3 and len(call.params.get("kernel", ())) == 4


def _row(model: Network, layer: str) -> Row:
    return next(row for row in describe(model, model.image_shape).rows if row.name == layer)


class Cam(NamedTuple):
    """Where the maps of a layer speak for a class.

    Attributes:
      maps: float32 [N, H, W], each image's largest value 1 (or all 0, where nothing speaks for the class).
      fields: [N, 3], the top, left and side of the square of pixels that the strongest place was computed from.
    """

    maps: np.ndarray
    fields: np.ndarray


def grad_cam(model: Network, variables: Variables, images: np.ndarray, classes: np.ndarray, layer: str) -> Cam:
    """Grad-CAM (Selvaraju et al., 2017): where the maps of a layer speak for a class.

    Each map is weighted with the mean of the class's logit's gradient over it; what is left of the sum above 0 counts.

    Args:
      model: the network.
      variables: its parameters and statistics.
      images: uint8 or float [N, H, W, C], in 0..255.
      classes: int [N], a class for each image.
      layer: the name of a layer with maps [h, w, channels].
    """
    own = _in_nhwc(model)

    def parts(images: jax.Array, classes: jax.Array) -> jax.Array:
        maps = _output_of(own, variables, images, layer)

        def logit(change: jax.Array) -> jax.Array:
            return _chosen(_logits(own, variables, images, layer, change), classes).sum()

        weights = jax.grad(logit)(jnp.zeros_like(maps)).mean(axis=(1, 2), keepdims=True)
        return jax.nn.relu((weights * maps).sum(axis=-1))

    low = np.asarray(jax.jit(parts)(jnp.asarray(images), jnp.asarray(classes)), np.float32)
    row, shape = _row(model, layer), model.image_shape[:2]
    found = np.stack([_spread(each, shape, row.step) for each in low])
    most = low.max(axis=(1, 2), keepdims=True)
    strongest = np.stack(np.unravel_index(low.reshape(len(low), -1).argmax(axis=1), low.shape[1:]), axis=1)
    middles = (strongest - (np.array(low.shape[1:]) - 1) / 2) * row.step + (np.array(shape) - 1) / 2
    side = np.full((len(low), 1), float(row.receptive_field or max(shape)))
    fields = np.concatenate([middles - side / 2, side], axis=1)
    return Cam(np.divide(found, most, out=np.zeros_like(found), where=most > 0), fields)


def _spread(low: np.ndarray, shape: tuple[int, int], step: int) -> np.ndarray:
    """A map [h, w] over the image [H, W]: each place where its receptive field has its middle, linear between them.

    Padding and what pooling leaves out are taken to be alike on all sides, so it is off by half a step at most. Beyond
    the outermost places, which see the rim too, it falls to 0.
    """
    at = [
        (np.arange(pixels) - (pixels - 1) / 2) / step + (places - 1) / 2
        for pixels, places in zip(shape, low.shape, strict=True)
    ]
    return ndimage.map_coordinates(low, np.meshgrid(*at, indexing="ij"), order=1, mode="grid-constant")


def integrated_gradients(
    model: Network,
    variables: Variables,
    images: np.ndarray,
    classes: np.ndarray,
    baseline: np.ndarray | float = 0.0,
    steps: int = STEPS,
) -> np.ndarray:
    """Integrated gradients (Sundararajan et al., 2017): what each pixel adds to a logit on the way from a baseline.

    Over all pixels they add up to the logit's difference between image and baseline, but for the error of the sum of
    `steps` midpoints that stands for the integral.

    Args:
      model: the network.
      variables: its parameters and statistics.
      images: uint8 or float [N, H, W, C], in 0..255.
      classes: int [N], a class for each image.
      baseline: an image that shows nothing, or its gray level.
      steps: of the sum.

    Returns:
      float [N, H, W, C], in units of the logit.
    """
    own = _in_nhwc(model)

    @jax.jit
    def gradient(at: jax.Array, classes: jax.Array) -> jax.Array:
        def logit(at: jax.Array) -> jax.Array:
            logits: jax.Array = own.apply(variables, at)  # type: ignore[assignment]
            return _chosen(logits, classes).sum()

        return jax.grad(logit)(at)

    ends = jnp.asarray(
        images, jnp.promote_types(jnp.float32, images.dtype) if images.dtype.kind == "f" else jnp.float32
    )
    start = jnp.broadcast_to(jnp.asarray(baseline, ends.dtype), ends.shape)
    total = jnp.zeros_like(ends)
    for step in range(steps):
        total += gradient(start + (step + 0.5) / steps * (ends - start), jnp.asarray(classes))
    return np.asarray((ends - start) * total / steps)


def feature_maps(model: Network, variables: Variables, image: np.ndarray, layer: str) -> np.ndarray:
    """What a layer makes of an image [H, W, C]: [h, w, channels]."""
    return np.asarray(
        jax.jit(partial(_output_of, _in_nhwc(model), layer=layer))(variables, jnp.asarray(image)[None])[0]
    )


def kernels(variables: Variables, layer: str) -> np.ndarray:
    """The kernels [k, k, in, out] of a convolution."""
    found: Any = variables["params"]
    for part in layer.split("/"):
        found = found[part]
    return np.asarray(found["kernel"])


def _in_nhwc(model: Network) -> Network:
    return model.clone(layout=NHWC)


def _chosen(logits: jax.Array, classes: jax.Array) -> jax.Array:
    return jnp.take_along_axis(logits, classes[:, None], axis=1)[:, 0]


def _output_of(model: Network, variables: Variables, images: jax.Array, layer: str) -> jax.Array:
    """The output of a layer, [N, h, w, channels]."""
    found: list[jax.Array] = []

    def keep(output: jax.Array) -> jax.Array:
        found.append(output)
        return output

    with nn.intercept_methods(_at(layer, keep)):
        model.apply(variables, images)
    return found[0]


def _logits(model: Network, variables: Variables, images: jax.Array, layer: str, change: jax.Array) -> jax.Array:
    """The logits when `change` is added to the output of a layer."""
    with nn.intercept_methods(_at(layer, lambda output: output + change)):
        logits: jax.Array = model.apply(variables, images)  # type: ignore[assignment]
        return logits


def _at(layer: str, function: Any) -> Any:
    """An interceptor that puts a function behind a layer."""

    def intercept(next_function: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        output = next_function(*args, **kwargs)
        at = context.method_name == "__call__" and "/".join(context.module.path) == layer
        return function(output) if at else output

    return intercept
