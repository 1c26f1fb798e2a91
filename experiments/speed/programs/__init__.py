"""The same training in each framework, as somebody who knows that framework would write it.

A program is a class that is made from a job and has these methods; whatever they start is finished when they return:
  train(steps): optimiser steps on random batches of the images, counting loss and accuracy;
  evaluate(batches): the logits of so many batches;
  predict(image): uint8 [H, W, C] -> logits [classes], both in the host's memory;
  losses(): what the check compares (see `Losses`), for a job without Dropout. It changes the weights.
Those of fer_jax and PyTorch also have:
  profile(kind, batches): seconds by part (see `profiles`) of so many batches of 'train' or 'evaluate', on one core.
"""

import importlib
from typing import Any, NamedTuple


class Losses(NamedTuple):
    """Mean cross-entropy on the job's first batch, from the job's weights.

    Attributes:
      training: with the statistics of the batch in BatchNorm.
      evaluation: with the moving statistics.
      second_step: as `training`, on the same batch, after one step of Adam; what is compared is the change.
    """

    training: float
    evaluation: float
    second_step: float


PROGRAMS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "fer_jax": ("fer_jax_program", "FerJax", {}),
    "torch": ("torch_program", "Torch", {}),
    "torch_channels_last": ("torch_program", "Torch", {"channels_last": True}),
    "torch_compile": ("torch_program", "Torch", {"compiled": True}),
    "torch_compile_channels_last": ("torch_program", "Torch", {"channels_last": True, "compiled": True}),
    "keras_jax": ("keras_program", "Keras", {}),
    "keras_torch": ("keras_program", "Keras", {}),
    "flax": ("flax_program", "Flax", {}),
}
"""The file, the class and its options of each program, by the name that a user types."""

TITLES = {
    "fer_jax": "fer_jax",
    "torch": "PyTorch, eager, NCHW",
    "torch_channels_last": "PyTorch, eager, channels_last",
    "torch_compile": "PyTorch, torch.compile, NCHW",
    "torch_compile_channels_last": "PyTorch, torch.compile, channels_last",
    "keras_jax": "Keras 3 on JAX, fit",
    "keras_torch": "Keras 3 on PyTorch, fit",
    "flax": "Flax Linen, a jitted step a batch",
}
NEEDS = {name: {"torch": ["torch"], "keras": ["keras"]}.get(name.partition("_")[0], []) for name in PROGRAMS}
NEEDS["keras_torch"] = ["keras", "torch"]
"""Packages beside fer_jax's own that a program needs."""

ENVIRONMENT = {"keras_jax": {"KERAS_BACKEND": "jax"}, "keras_torch": {"KERAS_BACKEND": "torch"}}


def create(name: str, job: Any, cores: int) -> Any:
    """The program of that name, with the job's weights and images in memory; imports its framework."""
    module, kind, options = PROGRAMS[name]
    return getattr(importlib.import_module(f"programs.{module}"), kind)(job, cores=cores, **options)
