"""Small image classifiers in JAX and Flax, trained from config files and measured honestly."""

__version__ = "0.1.0"
