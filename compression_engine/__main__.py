"""The engine from a shell, and the only way in which the registry starts it: see COMMAND_LINE.md for the contract.

The network is closed and threads are pinned before anything else is imported (see `guard` for what that is and is not).
"""

from __future__ import annotations

import sys

from compression_engine import guard, supervisor

guard.pin_threads()
guard.close_network()

from compression_engine.command_line import main  # noqa: E402  threads must be pinned before numpy is imported

if __name__ == "__main__":
    raise SystemExit(supervisor.supervised(main, sys.argv[1:]))
