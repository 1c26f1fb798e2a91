"""The processes of a run on several hosts: how they find each other, agree, and leave the writing to the first.

All compute the same program, each on its own devices. What each of them sees for itself (the clock, a signal) must be
agreed on before it decides what is computed next: otherwise one waits for a sum that another never begins.
"""

import os
import re
import signal
import time
from collections.abc import Mapping

import numpy as np

from fer_jax.errors import ConfigError, UserError, speak_as

# JAX is imported in the functions: what asks who is first must not wait for it.

HEARTBEAT_S = 20
"""How long a process may give no sign of life before the others end, in seconds."""
_JOIN_S = 300
_CARRIERS = re.compile("gloo|nccl|peer|socket|coordination", re.IGNORECASE)
"""Words that stand in the errors of what carries sums from process to process."""
_processes = {"count": 1, "index": 0}


def is_first() -> bool:
    """Whether this process writes the files and talks to the person watching; the only one is the first."""
    return _processes["index"] == 0


def count() -> int:
    """How many processes the run has."""
    return _processes["count"]


def named_by_environment(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment says that this process is one of several: Slurm's, Open MPI's, or that of a TPU slice."""
    tasks = [environment.get(name, "1") for name in ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE")]
    hosts = [environment.get(name, "") for name in ("TPU_WORKER_HOSTNAMES", "TPU_PROCESS_ADDRESSES")]
    return any(number.isdecimal() and int(number) > 1 for number in tasks) or any("," in names for names in hosts)


def join(address: str = "", num_processes: int | None = None, process_id: int | None = None) -> None:
    """Joins the other processes of a run; must come before the first use of a device.

    Args:
      address: HOST:PORT of the first process; '' takes what the environment says.
      num_processes: how many there are; None takes what the environment says, and 1 is alone whatever it says.
      process_id: of this one, from 0; None takes what the environment says.

    Raises:
      ConfigError: one of the three is missing or wrong.
      UserError: the others do not come.
    """
    stated = [bool(address), num_processes is not None, process_id is not None]
    if num_processes == 1 or not (any(stated) or named_by_environment()):
        return
    if any(stated) and not (all(stated) or named_by_environment()):
        raise ConfigError(
            "--coordinator=HOST:PORT, --num_processes and --process_id belong together: here the environment (Slurm, "
            "Open MPI, a TPU slice) does not tell those that are missing"
        )
    if address and not address.rpartition(":")[2].isdecimal():
        raise ConfigError(f"--coordinator={address} must be HOST:PORT of the first process")
    if num_processes is not None and not 0 <= (process_id or 0) < num_processes:
        raise ConfigError(f"--process_id={process_id} with --num_processes={num_processes}: they are counted from 0")
    import jax

    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        jax.distributed.initialize(
            address or None,
            num_processes,
            process_id,
            initialization_timeout=_JOIN_S,
            heartbeat_timeout_seconds=HEARTBEAT_S,
            shutdown_timeout_seconds=HEARTBEAT_S,
        )
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"the processes of this run did not find each other: {reason}") from error
    # JAX takes SIGTERM for its own preemption service, without which Orbax does not save; what a signal does is for the
    # training loop to decide.
    signal.signal(signal.SIGTERM, on_sigterm)
    _processes.update(count=jax.process_count(), index=jax.process_index())
    if _processes["count"] > 1:
        speak_as(f"fer_jax: process {jax.process_index()}")


def wait(reason: str) -> None:
    """Waits until every process has come here; `reason` is the same text in each."""
    if count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(reason)


def largest(number: int) -> int:
    """The largest of the numbers that the processes have here."""
    return max(_everyones(number))


def of_first(number: int) -> int:
    """The number that the first process has here."""
    return _everyones(number)[0]


def tells_of_another(error: BaseException) -> bool:
    """Whether an error says that another process of the run cannot be reached."""
    return count() > 1 and _CARRIERS.search(str(error)) is not None


def wait_for_abort() -> None:
    """Waits for JAX to end this process because another has died, whose task its text names; returns if it does not."""
    time.sleep(2 * HEARTBEAT_S)


def _everyones(number: int) -> list[int]:
    if count() == 1:
        return [number]
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(np.int32(number)).tolist()
