"""The convolution in both layouts (see `lowering`): the same numbers to rounding, forward and backward.

In 'HCWN' a convolution is a matrix product for each row of the output. What such a product reads, k rows of a few
copies of the image, is contiguous and fits the cache. A scheme says which copies:

- `_direct`: the k copies that are shifted along the row, in one product.
- `_WINOGRAD_2`: for 3x3 kernels, Winograd's minimal filtering F(2, 3) along the row (Lavin and Gray, 2016): two outputs
  from four products instead of six. Its sums are of two or three numbers, so it rounds as the direct form does.
- `_WINOGRAD_4`: F(4, 3), four outputs from six products instead of twelve, where nothing is differentiated and rows are
  long enough. Its sums have factors up to 8, so it rounds more coarsely: training would notice that (over a blank patch
  its output is rounding and not 0, which gives a ReLU behind it a gradient), and answers do not.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from fer_jax.models.lowering import HCWN, NHWC
from fer_jax.sharding import devices_of_a_batch

Array = jax.Array


def convolution(x: Array, kernel: Array, padding: str, layout: str) -> Array:
    """The convolution of stride 1 of an activation with a kernel [k, k, in, out]; `padding` is 'VALID' or 'SAME'."""
    return _CONVOLUTIONS[layout](x, kernel, padding)


def native(x: Array, kernel: Array, padding: str) -> Array:
    """XLA's own: [N, H, W, C] -> [N, H', W', out]."""
    return lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def depthwise(x: Array, kernel: Array, layout: str) -> Array:
    """Each channel of an activation with its own kernel, [k, k, C]: stride 1, padding 'SAME'."""
    if layout == NHWC:
        dimensions, channels = ("NHWC", "HWIO", "NHWC"), kernel.shape[2]
        kernel = kernel[:, :, None]
        return lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=dimensions, feature_group_count=channels
        )
    size, (height, _, width, _) = kernel.shape[0], x.shape
    padded = _pad(x, *_margins(kernel, "SAME"))
    out = jnp.zeros_like(x)
    for i in range(size):
        for j in range(size):
            out += padded[i : i + height, :, j : j + width] * kernel[i, j][None, :, None, None]
    return out


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def by_rows(x: Array, kernel: Array, padding: str) -> Array:
    """A matrix product for each row of the output: [H, C, W, N] -> [H', out, W', N].

    The derivative by x is the same function of dy, that by the kernel a sum of products over rows.
    """
    if kernel.shape[0] == 1:
        return _of_pixels(x, kernel)
    padded = _pad(x, *_margins(kernel, padding))
    return _rows(padded, kernel, _scheme_to_answer(kernel, padded.shape[2] - kernel.shape[0] + 1))


def _of_pixels(x: Array, kernel: Array) -> Array:
    """A 1x1 kernel's, with nothing copied; where there is a gradient, rows are faster."""
    _, _, channels, features = kernel.shape
    weights = jnp.broadcast_to(kernel[0, 0].T, (x.shape[0], features, channels))
    return lax.dot_general(weights, x, (((2,), (1,)), ((0,), (0,))))


def _forward(x: Array, kernel: Array, padding: str) -> tuple[Array, tuple[Array, Array]]:
    return _rows_to_train(_pad(x, *_margins(kernel, padding)), kernel), (x, kernel)


def _backward(padding: str, saved: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    x, kernel = saved
    before, after = _margins(kernel, padding)
    reach = kernel.shape[0] - 1
    dx = _rows_to_train(_pad(dy, reach - before, reach - after), kernel[::-1, ::-1].swapaxes(2, 3))
    return dx, _kernel_gradient(_pad(x, before, after), dy, kernel)


by_rows.defvjp(_forward, _backward)


class _Forms(NamedTuple):
    """A row of the output as the sums of one or more products.

    Attributes:
      copies: padded x [H, C, W, N] -> what each product reads, [H, C', T, N].
      weights: kernel [k, k, C, out] -> the weights of each product, [k, C', out].
      parts: products [out, T, N] -> the outputs at every len(parts)th column, beginning with each of the first.
    """

    copies: Callable[[Array], Sequence[Array]]
    weights: Callable[[Array], Sequence[Array]]
    parts: Callable[[Sequence[Array]], Sequence[Array]]


class _Scheme(NamedTuple):
    """The same with what the kernel's gradient takes.

    Attributes:
      forward: the products.
      columns: dy [H', out, W', N] -> every len(columns)th column, beginning with each of the first, [H', out, T, N].
      parts_transposed: those -> what the weights' gradients read: `parts` transposed, in any shape.
      kernel: the weights' gradients -> that of the kernel: `weights` transposed.
    """

    forward: _Forms
    columns: Callable[[Array], Sequence[Array]]
    parts_transposed: Callable[[Sequence[Array]], Sequence[Array]]
    kernel: Callable[[Sequence[Array]], Array]


def _direct(size: int) -> _Scheme:
    def copies(x: Array) -> Sequence[Array]:
        width = x.shape[2] - size + 1
        return (jnp.concatenate([x[:, :, j : j + width] for j in range(size)], axis=1) if size > 1 else x,)

    def kernel(gradients: Sequence[Array]) -> Array:
        (gradient,) = gradients
        return gradient.reshape(size, size, -1, gradient.shape[-1])

    forward = _Forms(copies, lambda kernel: (kernel.reshape(size, -1, kernel.shape[-1]),), lambda products: products)
    return _Scheme(forward, lambda dy: (dy,), lambda columns: columns, kernel)


def _copies_2(x: Array) -> Sequence[Array]:
    even, odd = _every(x, 2)
    a, b, c, d = even[:, :, :-1], odd[:, :, :-1], even[:, :, 1:], odd[:, :, 1:]
    return a - c, b + c, c - b, b - d


def _weights_2(kernel: Array) -> Sequence[Array]:
    a, b, c = (kernel[:, j] for j in range(3))
    return a, (a + b + c) / 2, (a - b + c) / 2, c


def _parts_2(products: Sequence[Array]) -> Sequence[Array]:
    p, q, r, s = products
    return p + q + r, q - r - s


def _parts_transposed_2(columns: Sequence[Array]) -> Sequence[Array]:
    a, b = columns
    # The last is -b; `_kernel_2` takes it off instead.
    return a, a + b, a - b, b


def _kernel_2(gradients: Sequence[Array]) -> Array:
    p, q, r, s = gradients
    return jnp.stack([p + (q + r) / 2, (q - r) / 2, (q + r) / 2 - s], axis=1)


def _copies_4(x: Array) -> Sequence[Array]:
    # The last four outputs read two columns beyond them.
    columns = _every(jnp.pad(x, ((0, 0), (0, 0), (0, -(x.shape[2] - 2) % 4 + 2), (0, 0))), 4)
    a, b, c, d = (column[:, :, :-1] for column in columns)
    e, f = (column[:, :, 1:] for column in columns[:2])
    even, odd, even_2, odd_2 = e - 4 * c, d - 4 * b, e - c, 2 * (d - b)
    return 4 * a - 5 * c + e, even + odd, even - odd, even_2 + odd_2, even_2 - odd_2, 4 * b - 5 * d + f


def _weights_4(kernel: Array) -> Sequence[Array]:
    a, b, c = (kernel[:, j] for j in range(3))
    even, even_2 = (a + c) / 6, a / 24 + c / 6
    return a / 4, -even - b / 6, b / 6 - even, even_2 + b / 12, even_2 - b / 12, c


def _parts_4(products: Sequence[Array]) -> Sequence[Array]:
    p, q, r, s, t, u = products
    even, odd, even_2, odd_2 = q + r, q - r, s + t, s - t
    return p + even + even_2, odd + 2 * odd_2, even + 4 * even_2, odd + 8 * odd_2 + u


def _every(x: Array, step: int) -> list[Array]:
    """Every `step`th column beginning with each of the first, with columns of zeros behind what is no multiple."""
    x = jnp.pad(x, ((0, 0), (0, 0), (0, -x.shape[2] % step), (0, 0)))
    # A slice with a stride takes XLA three times as long.
    groups = x.reshape(*x.shape[:2], x.shape[2] // step, step, x.shape[3])
    return [groups[:, :, :, place] for place in range(step)]


_WINOGRAD_2 = _Scheme(_Forms(_copies_2, _weights_2, _parts_2), lambda dy: _every(dy, 2), _parts_transposed_2, _kernel_2)
_WINOGRAD_4 = _Forms(_copies_4, _weights_4, _parts_4)
_LONG, _WIDE = 12, 8
"""Columns and channels from which on four outputs at a time are faster than two."""
_MANY = 32
"""Channels of dy from which on its side of a product is the smaller one."""


def _scheme(kernel: Array, columns: int) -> _Scheme:
    """That of a kernel [k, k, in, out] for so many columns of the output, where there is a gradient."""
    size, precise = kernel.shape[0], jnp.finfo(kernel.dtype).bits >= 32
    return _WINOGRAD_2 if size == 3 and columns > 1 and precise else _direct(size)


def _scheme_to_answer(kernel: Array, columns: int) -> _Forms:
    """The same where there is none."""
    found = _scheme(kernel, columns)
    pays = found is _WINOGRAD_2 and columns >= _LONG and kernel.shape[2] >= _WIDE
    return _WINOGRAD_4 if pays else found.forward


def _rows_to_train(x: Array, kernel: Array) -> Array:
    return _rows(x, kernel, _scheme(kernel, x.shape[2] - kernel.shape[0] + 1).forward)


def _rows(x: Array, kernel: Array, scheme: _Forms) -> Array:
    """The valid convolution [H, C, W, N] -> [H - k + 1, out, W - k + 1, N]."""
    size, _, _, features = kernel.shape
    height, _, width, images = x.shape
    columns = width - size + 1
    weights = [weight.reshape(-1, features).T for weight in scheme.weights(kernel)]
    # What XLA would make anew in every row is made once.
    copies = lax.optimization_barrier(tuple(scheme.copies(x)))

    def add_row(h: Array, out: Array) -> Array:
        products = [
            lax.dot_general(weight, _seen(copy, h, size), (((1,), (0,)), ((), ())))
            for weight, copy in zip(weights, copies, strict=True)
        ]
        for index, part in enumerate(scheme.parts(products)):
            out = lax.dynamic_update_slice(out, part[None, :, :, None], (h, 0, 0, index, 0))
        return out

    turns = copies[0].shape[2]
    every = -(-columns // turns)
    start = jnp.zeros((height - size + 1, features, turns, every, images), x.dtype)
    out = lax.fori_loop(0, start.shape[0], add_row, start)
    return out.reshape(*out.shape[:2], turns * every, images)[:, :, :columns]


def _kernel_gradient(x: Array, dy: Array, kernel: Array) -> Array:
    """The derivative by the kernel [k, k, C, out], from the padded x [H, C, W, N] and dy [H', out, W', N]."""
    size, _, _, features = kernel.shape
    rows, _, columns, images = dy.shape
    scheme = _scheme(kernel, columns)
    copies = lax.optimization_barrier(tuple(scheme.forward.copies(x)))
    many = features >= _MANY
    # On several devices each sums over its own images first: otherwise they would have to meet in every row.
    shares = math.gcd(images, devices_of_a_batch())
    dtype = jnp.promote_types(x.dtype, jnp.float32)

    def by_share(row: Array) -> Array:
        split = row.reshape(*row.shape[:2], shares, images // shares)
        # One axis to sum over, the last: with two, XLA transposes the operands first.
        return split.transpose(2, 0, 1, 3).reshape(shares, row.shape[0], -1)

    # Taken apart once: XLA would do it number by number in every sum.
    parted = scheme.columns(dy)

    def product(output: Array, copy: Array) -> Array:
        # XLA packs the second operand, which pays for the smaller one; with few channels it makes no difference.
        first, second = (copy, output) if many else (output, copy)
        summed = (((2,), (2,)), ((0,), (0,)))
        return lax.dot_general(by_share(first), by_share(second), summed, preferred_element_type=dtype)

    def add_row(h: Array, carry: tuple[Sequence[Array], Array]) -> tuple[Sequence[Array], Array]:
        totals, read = carry
        outputs = scheme.parts_transposed([_seen(part, h, 1) for part in parted])
        totals = [
            total + product(output, _seen(copy, h, size))
            for total, output, copy in zip(totals, outputs, copies, strict=True)
        ]
        return totals, read + lax.dynamic_index_in_dim(dy, h, keepdims=False)[0, 0]

    sides = [(size * copy.shape[1], features) for copy in copies]
    start = [jnp.zeros((shares, *(side if many else side[::-1])), dtype) for side in sides]
    totals, read = lax.fori_loop(0, rows, add_row, (start, jnp.zeros(images, dy.dtype)))
    # The loop reads dy, so that it lies in memory: otherwise XLA would make it anew, with all that is behind the
    # convolution, wherever it is needed. It reads a number of every image: to read one that lies on another device, all
    # would send all of theirs.
    nothing = 0 * read.reshape(shares, -1).sum(1)[:, None, None]
    totals = [(total + nothing.astype(dtype)).sum(0) for total in totals]
    gradients = [(total if many else total.T).reshape(size, -1, features) for total in totals]
    return scheme.kernel(gradients).astype(kernel.dtype)


def _seen(x: Array, h: Array, size: int) -> Array:
    """The `size` rows [H, C, T, N] from row `h` on, as [size C, T, N]."""
    # Fused with a product, the slice would be read number by number.
    rows = lax.optimization_barrier(lax.dynamic_slice_in_dim(x, h, size, 0))
    return rows.reshape(-1, *x.shape[2:])


def _margins(kernel: Array, padding: str) -> tuple[int, int]:
    """Rows and columns of zeros in front of the image and behind it."""
    size = kernel.shape[0]
    return ((size - 1) // 2, size // 2) if padding == "SAME" else (0, 0)


def _pad(x: Array, before: int, after: int) -> Array:
    return jnp.pad(x, ((before, after), (0, 0), (before, after), (0, 0))) if before or after else x


_CONVOLUTIONS: dict[str, Callable[[Array, Array, str], Array]] = {NHWC: native, HCWN: by_rows}
