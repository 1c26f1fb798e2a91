"""A layer table like Keras's `model.summary()`, with what a layer costs and how far it sees.

Multiply-adds are for one image at inference, one for each product that is summed: a convolution has out_height *
out_width * kernel * kernel * in * out, a dense layer in * out, BatchNorm one for each value (its scale and offset).
Biases, activations, maxima, means and the scaling of the pixels are not counted.

The receptive field is the side, in pixels of the input, of the square that one output element depends on. It is the
theoretical value: a 'SAME' convolution may see past the border of the image, and then it is larger than the image.
"""

import math
from dataclasses import dataclass

from fer_jax.config import check_at_least
from fer_jax.errors import ConfigError
from fer_jax.models.trace import LayerCall, Model, trace
from fer_jax.text_table import aligned

# The kinds of layer that are known here. In these an output element depends on one element of the input (at inference).
_ELEMENTWISE = {"BatchNorm", "Dropout", "DropPath", "Flatten"}
_HAS_KERNEL = {"Conv", "DepthwiseConv", "Dense"}
_HALVES = {"MaxPool", "SpaceToDepth"}
_FREE = {"Dropout", "DropPath", "Flatten", "GlobalAveragePool", *_HALVES}


@dataclass(frozen=True)
class Row:
    """One layer.

    Attributes:
      name: the path of its parameters, as 'Conv_0'.
      kind: its class, as 'Conv'.
      output_shape: with None for the batch, as (None, 26, 26, 12).
      params: the number of its values as Keras counts them, BatchNorm's moving statistics included; 0 where a layer
        is called again.
      multiply_adds: for one image; None for a kind of layer that is not known here.
      receptive_field: side in pixels of the input; None from the first layer of an unknown kind on.
      step: pixels of the input between two neighbours of its output.
    """

    name: str
    kind: str
    output_shape: tuple[int | None, ...]
    params: int
    multiply_adds: int | None
    receptive_field: int | None
    step: int = 1


@dataclass(frozen=True)
class Summary:
    """The layers in network order, and the number of trainable and other values in them."""

    rows: tuple[Row, ...]
    trainable: int
    non_trainable: int

    @property
    def total(self) -> int:
        """All parameters, moving statistics included."""
        return self.trainable + self.non_trainable

    @property
    def multiply_adds(self) -> int | None:
        """Of the whole network for one image; None if it has a layer of an unknown kind."""
        counts = [row.multiply_adds for row in self.rows]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    @property
    def weight_bytes(self) -> int:
        """All parameters as float32."""
        return 4 * self.total


def describe(model: Model, input_shape: tuple[int, ...]) -> Summary:
    """The layer table of a network; nothing is computed on any device.

    The receptive field takes the layers as a chain, in the order in which they run.

    Args:
      model: a Module that takes uint8 images [B, H, W, C].
      input_shape: (H, W, C), in pixels and channels.

    Raises:
      ConfigError: the shape is not three positive numbers, or a layer leaves nothing of an image of this size.
    """
    if len(input_shape) != 3 or min(input_shape) < 1:
        raise ConfigError(f"an image has a positive height, width and number of channels, not {tuple(input_shape)}")
    rows: list[Row] = []
    trainable = non_trainable = 0
    counted: set[str] = set()
    field: int | None = 1
    step = 1
    for call in trace(model, input_shape):
        if min(call.output_shape, default=1) < 1:
            raise ConfigError(f"an image of shape {tuple(input_shape)} is too small: {call.name} has nothing left")
        field, step = _see(call, field, step, max(input_shape[:2]))
        sizes = [0, 0] if call.name in counted else [_size(call.params), _size(call.stats)]
        counted.add(call.name)
        trainable += sizes[0]
        non_trainable += sizes[1]
        rows.append(
            Row(call.name, call.kind, (None, *call.output_shape), sum(sizes), _multiply_adds(call), field, step)
        )
    return Summary(tuple(rows), trainable, non_trainable)


def _size(shapes: dict[str, tuple[int, ...]]) -> int:
    return sum(math.prod(shape) for shape in shapes.values())


def _see(call: LayerCall, field: int | None, step: int, side: int) -> tuple[int | None, int]:
    """The receptive field and the step behind a layer, from those before it; `side` is the image's longer one."""
    if call.kind == "GlobalAveragePool" or (call.kind == "Dense" and len(call.input_shape) == 1):
        return side, step  # averaged or flattened: it sees the whole image, whatever came before
    if field is None:
        return None, step
    if call.kind in _HAS_KERNEL:
        # A Dense that still has pixels is a convolution with a kernel of 1 x 1.
        kernel = 1 if call.kind == "Dense" else call.params["kernel"][0]
        return field + (kernel - 1) * step, step
    if call.kind in _HALVES:
        return field + step, 2 * step
    return (field if call.kind in _ELEMENTWISE else None), step


def _multiply_adds(call: LayerCall) -> int | None:
    if call.kind in _HAS_KERNEL:
        return math.prod(call.output_shape[:-1]) * math.prod(call.params["kernel"])
    if call.kind == "BatchNorm":
        return math.prod(call.output_shape)
    return 0 if call.kind in _FREE else None


def format_table(summary: Summary) -> str:
    """The table for a terminal, with no newline at its end; '?' stands for what is not known."""
    header = ("Layer (type)", "Output shape", "Params", "Mult-adds", "Receptive field")
    cells = [
        (
            f"{row.name} ({row.kind})",
            str(row.output_shape),
            _number(row.params),
            _number(row.multiply_adds),
            _number(row.receptive_field),
        )
        for row in summary.rows
    ]
    table = aligned([header, *cells], left=range(2), rule=True)
    totals = [
        f"Total params: {summary.total:,}",
        f"Trainable params: {summary.trainable:,}",
        f"Non-trainable params: {summary.non_trainable:,}",
        f"Multiply-adds: {_number(summary.multiply_adds)}",
        f"Weights as float32: {summary.weight_bytes:,} bytes",
    ]
    return "\n".join([table, table.splitlines()[1], *totals])


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def check_budget(network: Summary | int, max_params: int) -> None:
    """Holds a network to the number of parameters that its config allows.

    Args:
      network: its summary, or the total of its parameters, moving statistics included.
      max_params: the most it may have; 0 for no budget.

    Raises:
      ConfigError: the network has more, or the budget is negative.
    """
    check_at_least("config.max_params", max_params, 0)
    total = network.total if isinstance(network, Summary) else network
    if 0 < max_params < total:
        raise ConfigError(
            f"the network has {total:,} parameters, more than config.max_params = {max_params:,}; "
            "make it smaller, or raise the budget (0 for none)"
        )
