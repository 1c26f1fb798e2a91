"""`run.json`: where a run's numbers come from, kept up to date while it trains."""

import datetime
import importlib.metadata
import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax

from fer_jax.buckets import failures
from fer_jax.errors import UserError, reason
from fer_jax.files import write_whole
from fer_jax.machine import available_cores, processor

FILE = "run.json"
_PACKAGES = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "tensorflow-datasets",
    "ml_collections",
    "clu",
    "numpy",
)
_CODE = (":(top)*.py", ":(top)setup.cfg", ":(top)pyproject.toml")
"""What decides a run's numbers, as git takes it; with the package's own folder."""


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file whole or not at all.

    Raises:
      UserError: it cannot be written.
    """
    write_whole(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Reads a JSON file; None where there is none.

    Raises:
      UserError: it cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read as JSON ({error}): restore it, or name another --workdir") from error
    except failures(path) as error:
        raise UserError(f"{path} cannot be read: {reason(error)}") from error


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def environment() -> dict[str, Any]:
    """The command, the code's commit, versions and machine of this process."""
    return {
        "command": ["python", "-m", _module(), *sys.argv[1:]],
        "git": git_state(Path(__file__)),
        "versions": {"python": platform.python_version(), **_versions()},
        "devices": [device.device_kind for device in jax.devices()],
        "machine": layout(),
    }


def _module() -> str:
    """The command that this process is, as `python -m` takes it."""
    name = getattr(getattr(sys.modules["__main__"], "__spec__", None), "name", "")
    return name.removesuffix(".__main__") if name.startswith("fer_jax.") else "fer_jax.main"


def layout() -> dict[str, Any]:
    """What must be the same for a program to give the same bits again."""
    return {
        "platform": jax.default_backend(),
        "device": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
        "processes": jax.process_count(),
        "processor": processor(),
        "cores": available_cores(),
        "jaxlib": importlib.metadata.version("jaxlib"),
    }


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in _PACKAGES}


def git_state(module: Path) -> dict[str, Any]:
    """The commit that a module is of, and whether the code differs from it.

    The code is all tracked Python files, the package and the files that install it. Documents and tables are not: a
    sweep writes its rows into a checkout, and the runs after the first are of the same code.

    Args:
      module: a file of the package.

    Returns:
      `commit` and `dirty`; None for both where the module is not a file of a git checkout.
    """

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(module.parent), *words], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", str(module))
        changed = git("status", "--porcelain", "--untracked-files=no", "--", *_CODE, str(module.parent))
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(changed)}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}
