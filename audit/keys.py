"""The two keys of the instance: the log key signs checkpoints (keeper only), the issuer key signs receipts, statements, manifests.

They are 0600 files outside the database. A process loads only the key that it needs.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from django.conf import settings

from audit.signing import KeyFileError, Signer
from registry.errors import Unavailable

LOG_FILE = "log.key"
ISSUER_FILE = "issuer.key"


def log_signer() -> Signer:
    """The log key; only the keeper and set-up ask for it."""
    return _load(Path(settings.PRESSMARK_KEYS) / LOG_FILE)


def issuer_signer() -> Signer:
    """The issuer key."""
    return _load(Path(settings.PRESSMARK_KEYS) / ISSUER_FILE)


@lru_cache(maxsize=8)
def _load(path: Path) -> Signer:
    try:
        return Signer.load(path)
    except KeyFileError as error:
        raise Unavailable(
            str(error),
            hint="Run `pressmark init` on a new installation; on an old one restore the key from its backup.",
        ) from None


def forget() -> None:
    """Forget loaded keys (after set-up wrote new ones)."""
    _load.cache_clear()
