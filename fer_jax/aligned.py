"""Arrays that begin where XLA wants them, so that all devices of a CPU read the host's copy and make none."""

import numpy as np

ALIGNMENT = 64
"""Bytes that the address of an array must be a multiple of, or XLA copies it once for every device of a CPU."""


def aligned(array: np.ndarray) -> np.ndarray:
    """The array itself if it is whole and begins at such an address, or a copy that does; it must not be changed."""
    if array.flags.c_contiguous and array.ctypes.data % ALIGNMENT == 0:
        return array
    room = np.empty(array.nbytes + ALIGNMENT, np.uint8)
    begin = -room.ctypes.data % ALIGNMENT
    copy = room[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy
