"""The processes of a run on several hosts: how they find each other, agree, and leave the writing to the first.

All compute the same program, each on its own devices. What each of them sees for itself (the clock, a signal) must be
agreed on before it decides what is computed next: otherwise one waits for a sum that another never begins.
"""

import contextlib
import errno
import ipaddress
import os
import re
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping

import numpy as np

from fer_jax.errors import ConfigError, UserError, note, reason, speak_as

# JAX is imported in the functions: what asks who is first must not wait for it.

HEARTBEAT_S = 20
"""How long a process may give no sign of life before the others end, in seconds."""
_JOIN_S = 300
"""How long a process waits for the others of its run to come."""
_OWN_S = 10
"""How long the first process tries to reach itself, in case that names and routes are only just being set up."""
_POLL_S = 0.5
_ADDRESS = re.compile(r"(\[[\w:.%-]+\]|[\w.-]+):([0-9]{1,5})")
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
    host, port = _parsed(address) if address else ("", 0)
    if num_processes is not None and not 0 <= (process_id or 0) < num_processes:
        raise ConfigError(f"--process_id={process_id} with --num_processes={num_processes}: they are counted from 0")
    import jax

    def initialize(timeout_s: int) -> None:
        try:
            jax.distributed.initialize(
                address or None,
                num_processes,
                process_id,
                initialization_timeout=timeout_s,
                heartbeat_timeout_seconds=HEARTBEAT_S,
                shutdown_timeout_seconds=HEARTBEAT_S,
            )
        except (RuntimeError, ValueError) as error:
            raise UserError(f"the processes of this run did not find each other: {reason(error)}") from error

    on_sigterm = signal.getsignal(signal.SIGTERM)
    if address and num_processes is not None and process_id is not None:
        # From here on this process is one of several: it says which, and ends without JAX's shutting down.
        _processes.update(count=num_processes, index=process_id)
        speak_as(f"fer_jax: process {process_id}")
        deadline = time.monotonic() + _JOIN_S
        if process_id == 0:
            _check_own(host, port, address)
        note(f"waiting for all {num_processes} processes to come to {address}, for {_JOIN_S} seconds at most")
        if process_id > 0:
            _wait_for_first(host, port, address, deadline)
        # JAX ends a process that has waited for too long with its stack: it must not come to that.
        if not _done_by(deadline, lambda: initialize(2 * _JOIN_S)):
            raise UserError(
                f"not all {num_processes} processes of this run came to {address} within {_JOIN_S} seconds: start all "
                "of them, each with its own --process_id and the same --coordinator and --num_processes"
            )
    else:
        initialize(_JOIN_S)
    # JAX takes SIGTERM for its own preemption service, without which Orbax does not save; what a signal does is for the
    # training loop to decide.
    signal.signal(signal.SIGTERM, on_sigterm)
    _processes.update(count=jax.process_count(), index=jax.process_index())
    if _processes["count"] > 1:
        speak_as(f"fer_jax: process {jax.process_index()}")


def _parsed(address: str) -> tuple[str, int]:
    """The host and the port of HOST:PORT; the host of [::1]:PORT is without its brackets."""
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise ConfigError(f"--coordinator={address} must be HOST:PORT of the first process")
    host, port = found[1].strip("[]"), int(found[2])
    try:
        if host != found[1]:
            ipaddress.IPv6Address(host)
        elif not host.strip("0123456789."):
            ipaddress.IPv4Address(host)
        host.encode("idna")
    except ValueError as error:
        raise ConfigError(f"--coordinator={address} must be HOST:PORT of the first process: {reason(error)}") from error
    if not 0 < port < 2**16:
        raise ConfigError(f"--coordinator={address}: a port is a number from 1 to {2**16 - 1}")
    return host, port


def _check_own(host: str, port: int, address: str) -> None:
    """Checks what JAX takes for granted: that the first process can listen at the port, and the address leads to it.

    Of two first processes that come in the same instant both may pass.
    """
    if "JAX_COORDINATOR_BIND_ADDRESS" in os.environ:
        return  # JAX listens there, and what leads from the one to the other is not known here
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    try:
        listener = socket.create_server(("", port), family=family, dualstack_ipv6=both)
    except OSError as error:
        taken = "it is taken by another process 0 or another program"
        why = taken if error.errno == errno.EADDRINUSE else reason(error)
        raise UserError(
            f"--coordinator={address}: process 0 cannot listen at port {port} of this machine ({why}): end what is "
            "there, or give all processes another port"
        ) from error
    with listener:
        if not _reaches_itself(listener, host, port):
            raise ConfigError(
                f"--coordinator={address} does not lead to this machine, where process 0 is: name the address of this "
                "machine to all processes, or start process 0 there"
            )


def _reaches_itself(listener: socket.socket, host: str, port: int) -> bool:
    """Whether who connects to the address comes to the listener: an address need not be one of the machine's own."""
    word = secrets.token_bytes(16)
    listener.settimeout(_OWN_S)
    with contextlib.suppress(OSError), _connection(host, port, time.monotonic() + _OWN_S) as outgoing:
        outgoing.sendall(word)
        while True:
            incoming, _ = listener.accept()
            incoming.settimeout(_OWN_S)
            # Other processes of the run may be first.
            with incoming, contextlib.suppress(OSError):
                if incoming.recv(len(word)) == word:
                    return True
    return False


def _wait_for_first(host: str, port: int, address: str, deadline: float) -> None:
    """Waits until something listens at the address."""
    try:
        _connection(host, port, deadline).close()
    except OSError as error:
        raise UserError(
            f"process 0 was not to be reached at {address} within {_JOIN_S} seconds ({reason(error)}): start it there, "
            "and see that nothing between the machines closes the port"
        ) from error


def _connection(host: str, port: int, deadline: float) -> socket.socket:
    """A connection to what listens there, as soon as something does; OSError if nothing does until the deadline."""
    while True:
        try:
            return socket.create_connection((host, port), timeout=min(5.0, max(_POLL_S, deadline - time.monotonic())))
        except OSError:
            if time.monotonic() + _POLL_S > deadline:
                raise
        time.sleep(_POLL_S)


def _done_by(deadline: float, action: Callable[[], None]) -> bool:
    """Whether an action ends before the deadline. One that does not goes on, and ends with the process.

    It is in another thread, because JAX waits in C++, where no signal and no exception reaches it.
    """
    failures: list[BaseException] = []

    def act() -> None:
        try:
            action()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    thread.join(max(0.0, deadline - time.monotonic()))
    for error in failures:
        raise error
    return not thread.is_alive()


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
