"""`python -m fer_jax.main` that kills itself: `victim.py [PHASE COUNT DELAY] -- WORDS`.

DELAY seconds after the COUNTth time that PHASE begins, SIGKILL comes, as from a system that is out of memory: nothing
can catch it, and nothing is tidied up. 'start' is the start of this program.
"""

import functools
import os
import signal
import sys
import threading
import time
from typing import Any

PLACES = {
    "data": ("fer_jax.data", "load"),
    "step": ("fer_jax.train", "_train_epoch"),
    "evaluation": ("fer_jax.train", "_evaluate_watched"),
    "save": ("fer_jax.checkpoint", "Checkpoints.save"),
    "scores": ("fer_jax.train", "score_states"),
}


def kill_after(delay: float) -> None:
    """SIGKILL to this process, from a thread of its own."""

    def wait() -> None:
        time.sleep(delay)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def arm(phase: str, count: int, delay: float) -> None:
    """Puts the trap into the function where the phase begins."""
    import importlib

    module, path = PLACES[phase]
    owner: Any = importlib.import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    function, calls = getattr(owner, name), [0]

    @functools.wraps(function)
    def trapped(*arguments: Any, **keywords: Any) -> Any:
        calls[0] += 1
        if calls[0] == count:
            kill_after(delay)
        return function(*arguments, **keywords)

    setattr(owner, name, trapped)


def main() -> None:
    """Arms and runs."""
    place = sys.argv.index("--")
    hit, words = sys.argv[1:place], sys.argv[place + 1 :]
    if hit:
        phase, count, delay = hit[0], int(hit[1]), float(hit[2])
        if phase == "start":
            kill_after(delay)
        else:
            # What happens once a process is hit the first time.
            arm(phase, 1 if phase in ("data", "scores") else count, delay)
    sys.argv = ["fer_jax.main", *words]
    from fer_jax import command
    from fer_jax import main as program

    command.run(program.main, program.FLAGS)


if __name__ == "__main__":
    main()
