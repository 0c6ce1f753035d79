"""Starts the engine behind a wall: this file is run as a script in the child process and becomes the engine by exec.

`python -I launcher.py WORKER_PID MEMORY_BYTES SECONDS COMMAND...`

Rules, in this order:
- no network: a network namespace of its own, without any interface that is up; where the system refuses one, it says so on
  standard error (which is kept with the run), and the engine's own refusal of sockets is what remains;
- it dies with the worker: SIGKILL when the worker's thread that started it ends, also when the worker died before we asked;
- limits on address space, processor time, the size of any one file, and core files; no new privileges.
Linux and the standard library only; nothing of ours is imported.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_CPU_GRACE_SECONDS = 30
_FILE_TO_MEMORY = 4
"""One file may be this many times the memory limit. What the engine writes is read again within that limit: a model whole, answers
mapped. A file several times larger is of no use and takes the disk from everybody else."""


def close_network(libc: ctypes.CDLL) -> str:
    """Move into an empty network namespace; says what was reached."""
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        reason = os.strerror(ctypes.get_errno())
        return f"network: no namespace of its own ({reason}); the engine refuses sockets by itself"
    try:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{uid} {uid} 1")
        _write("/proc/self/gid_map", f"{gid} {gid} 1")
    except OSError as error:
        return f"network: closed by a namespace (ids are not mapped: {error.strerror})"
    return "network: closed by a namespace"


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as target:
        target.write(text)


def die_with(worker_pid: int, libc: ctypes.CDLL) -> None:
    """Ask to be killed when the worker goes; go at once when it is gone already."""
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != worker_pid:
        os.kill(os.getpid(), signal.SIGKILL)


def set_limits(memory_bytes: int, seconds: int, libc: ctypes.CDLL) -> None:
    """Hard limits; a lower one that is in force already stays."""
    for what, soft, hard in (
        (resource.RLIMIT_AS, memory_bytes, memory_bytes),
        # the worker's clock comes first; this one is for a worker that hangs
        (resource.RLIMIT_CPU, seconds + _CPU_GRACE_SECONDS, seconds + 2 * _CPU_GRACE_SECONDS),
        # python ignores the signal, so a write beyond it fails as one to a full disk does, and the engine says so
        (resource.RLIMIT_FSIZE, _FILE_TO_MEMORY * memory_bytes, _FILE_TO_MEMORY * memory_bytes),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        ceiling = resource.getrlimit(what)[1]
        if ceiling != resource.RLIM_INFINITY:
            soft, hard = min(soft, ceiling), min(hard, ceiling)
        resource.setrlimit(what, (soft, hard))
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def main(arguments: list[str]) -> None:
    """Raise the wall and become the command."""
    worker_pid, memory_bytes, seconds = (int(text) for text in arguments[:3])
    command = arguments[3:]
    libc = ctypes.CDLL(None, use_errno=True)
    sys.stderr.write(close_network(libc) + "\n")
    sys.stderr.flush()
    # after the namespace: a change of credentials would clear the signal
    die_with(worker_pid, libc)
    set_limits(memory_bytes, seconds, libc)
    os.execv(command[0], command)  # noqa: S606  no shell is wanted: the arguments come from the worker, one by one


if __name__ == "__main__":
    main(sys.argv[1:])
