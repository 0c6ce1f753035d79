"""Where the command line keeps what is this user's: the remembered login and receipts, readable by nobody else."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def configuration_folder() -> Path:
    """The folder of this user's configuration."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "pressmark"


def login_file() -> Path:
    """Where `pressmark login` keeps server and token."""
    return configuration_folder() / "login.json"


def receipts_folder() -> Path:
    """Where every receipt is kept that a verb got."""
    return configuration_folder() / "receipts"


def write_private(path: Path, data: bytes) -> None:
    """Write a file of mode 0600 that is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp opens with mode 0600
    try:
        with os.fdopen(handle, "wb") as target:
            target.write(data)
            target.flush()
            os.fsync(target.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
