"""What a refusal of the machine says on the terminal: one sentence of cause, one of remedy, no traceback.

Rules:
- problems of the product and of a server say both themselves;
- files, ports and databases that refuse are explained here;
- whatever else is raised is a fault of the product and keeps its traceback.
"""

from __future__ import annotations

import errno
import getpass
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from registry.client import ApiError
from registry.errors import Problem


@dataclass(frozen=True)
class Refusal:
    """What is wrong, what to do, and why in detail."""

    detail: str
    hint: str = ""
    reasons: tuple[str, ...] = ()


_DATABASE_HINT = (
    "Look at PRESSMARK_HOME and PRESSMARK_DATABASE_URL; a new installation is set up by `pressmark init`, "
    "and `pressmark check` says what else is missing."
)


def explain(error: Exception) -> Refusal | None:
    """The refusal behind an exception; None where it is a fault that needs its traceback."""
    if isinstance(error, Problem):
        return Refusal(error.detail, error.hint, _reasons(error.members))
    if isinstance(error, ApiError):
        return Refusal(error.detail, error.hint, _reasons(error.problem))
    if _is_of_the_database(error):
        return Refusal(
            f"The database does not answer as it should: {str(error).strip().splitlines()[0]}.", _DATABASE_HINT
        )
    if isinstance(error, OSError) and error.errno is not None:
        return _of_a_file(error)
    return None


def _reasons(members: Mapping[str, Any]) -> tuple[str, ...]:
    """Every reason that a refusal names, and every rule of a gate that blocks."""
    rules = [
        f"{rule['rule']}: {rule['reason']}{'' if rule['waivable'] else ' (cannot be waived)'}"
        for rule in members.get("rules", [])
    ]
    return (*(str(reason) for reason in members.get("reasons", [])), *rules)


def _is_of_the_database(error: Exception) -> bool:
    """Django may not be installed at all, so its exceptions are only known when it was imported."""
    module = sys.modules.get("django.db.utils")
    return module is not None and isinstance(error, (module.OperationalError, module.ProgrammingError))


def _of_a_file(error: OSError) -> Refusal:
    what = f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror}."
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        hint = f"You are {_user()}. Run it as the user who owns the folder, or choose one where you may write."
    elif error.errno in {errno.ENOSPC, errno.EDQUOT}:
        hint = "Make room on the disk, then do it again; what was not finished was not registered."
    else:
        hint = "Check the path; it may be mistyped, missing, or a file where a folder should be."
    return Refusal(what, hint)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "a user without a name"
