"""Keeps the engine's own code and its libraries from reaching the network, and its threads from multiplying.

What it is: a hook on Python's audit events that refuses connections, sending to an address, name look-ups and listening, in
this process and for as long as it lives; it cannot be taken out again. What it is not: a sandbox. Native code that calls the
system directly does not pass it; whoever starts the engine adds the outer wall (no network, limits, own folder).
"""

from __future__ import annotations

import os
import sys

from compression_engine.errors import EngineError

_REFUSED = frozenset(
    {
        "socket.connect",
        "socket.bind",
        "socket.sendto",
        "socket.sendmsg",
        "socket.getaddrinfo",
        "socket.gethostbyname",
        "socket.gethostbyaddr",
        "socket.getnameinfo",
        "urllib.Request",
        "http.client.connect",
        "ftplib.connect",
        "smtplib.connect",
    }
)
_THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def close_network() -> None:
    """Refuses the network from now on, with EngineError (network_refused)."""
    sys.addaudithook(_refuse)
    # libraries that would look for newer versions of models are told not to try
    os.environ["HF_HUB_OFFLINE"] = "1"


def pin_threads() -> None:
    """One thread for the engine's own arithmetic; must run before numpy is imported."""
    for name in _THREAD_SETTINGS:
        os.environ[name] = "1"


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event in _REFUSED:
        hint = "The engine needs no network; give it files."
        raise EngineError("network_refused", f"Something tried to use the network ({event}).", hint)
