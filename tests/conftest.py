"""Strict settings for every test, and the fixtures that several files share.

They are set before JAX makes its first array: four CPU devices, so that sharding is always in play; implicit rank
promotion is an error; compiled programs are kept between runs.
"""

import os
from pathlib import Path

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_compilation_cache_dir", str(Path(__file__).parent / ".jax_cache"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """No test reads or writes the user's cache, or reaches for the network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("FER_JAX_OFFLINE", "1")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real data sets; the test is skipped where there is none."""
    folder = os.environ.get("FER_JAX_DATA", "")
    if not (Path(folder) / "mnist").is_dir():
        pytest.skip("needs real MNIST: set FER_JAX_DATA to a folder that holds mnist/")
    return Path(folder)
