"""Experiments: `python -m fer_jax.sweep --experiment=FILE` trains variants over seeds and makes tables of them."""

from fer_jax.sweep.experiment import Experiment, Variant

__all__ = ["Experiment", "Variant"]
