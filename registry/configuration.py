"""Every setting that an installation may choose, typed, read from the environment once, and explained where it is wrong."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_NAMES = [
    "PRESSMARK_HOME",
    "PRESSMARK_DATABASE_URL",
    "PRESSMARK_DATABASE_APP_ROLE",
    "PRESSMARK_BROKER_URL",
    "PRESSMARK_ALLOWED_HOSTS",
    "PRESSMARK_SECURE",
    "PRESSMARK_DEBUG",
    "PRESSMARK_UPLOAD_LIMIT_BYTES",
    "PRESSMARK_RUN_MEMORY_LIMIT_BYTES",
    "PRESSMARK_RUN_TIME_LIMIT_SECONDS",
    "PRESSMARK_LEASE_SECONDS",
    "PRESSMARK_WORKERS",
    "PRESSMARK_HOST_ID",
    "PRESSMARK_ANCHORS",
    "PRESSMARK_WITNESSES",
    "PRESSMARK_ANCHOR_SECONDS",
]
_OF_THE_COMMAND_LINE = {"PRESSMARK_SERVER", "PRESSMARK_TOKEN"}
_PREFIX = "PRESSMARK_"
_ALIKE = 0.85
_BROKERS = ("filesystem://", "redis://", "rediss://")


class ConfigurationError(ValueError):
    """A setting is wrong; the message names it and says what it takes."""


def _integer(environment: Mapping[str, str], name: str, default: int, least: int = 1) -> int:
    text = environment.get(name, str(default))
    if not text.isdigit() or int(text) < least:
        raise ConfigurationError(f"{name} is {text!r}; it takes a whole number of at least {least}.")
    return int(text)


def _flag(environment: Mapping[str, str], name: str, default: bool) -> bool:
    text = environment.get(name, "1" if default else "0").lower()
    if text not in {"0", "1", "true", "false", "yes", "no"}:
        raise ConfigurationError(f"{name} is {text!r}; it takes 1 or 0.")
    return text in {"1", "true", "yes"}


def _refuse_slips(environment: Mapping[str, str]) -> None:
    """A misspelt name would leave its default in force unseen. Names that resemble nothing belong to somebody else."""
    for name in environment:
        if not name.startswith(_PREFIX) or name in _NAMES or name.startswith(f"{_PREFIX}TEST_"):
            continue
        if name not in _OF_THE_COMMAND_LINE and (meant := difflib.get_close_matches(name, _NAMES, 1, _ALIKE)):
            raise ConfigurationError(f"{name} is no setting. Did you mean {meant[0]}?")


def _broker(url: str) -> str:
    if not url.startswith(_BROKERS):
        raise ConfigurationError(
            "PRESSMARK_BROKER_URL takes filesystem:// or redis://HOST:PORT/0 (rediss:// with TLS)."
        )
    return url


@dataclass(frozen=True)
class Configuration:
    """The settings of one installation; docs/settings.md lists them."""

    home: Path
    database_url: str
    database_app_role: str
    broker_url: str
    debug: bool
    allowed_hosts: list[str]
    secure: bool
    upload_limit_bytes: int
    run_memory_limit_bytes: int
    run_time_limit_seconds: int
    lease_seconds: int
    workers: int
    host_id: str
    anchors: Path
    witnesses: Path
    anchor_seconds: int

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Configuration:
        """Read PRESSMARK_* variables; ConfigurationError names the one that is wrong."""
        _refuse_slips(environment)
        home = Path(environment.get("PRESSMARK_HOME", "var/pressmark")).resolve()
        database = environment.get("PRESSMARK_DATABASE_URL", f"sqlite:///{home / 'pressmark.sqlite3'}")
        if not database.startswith(("sqlite:///", "postgres://", "postgresql://")):
            raise ConfigurationError(
                "PRESSMARK_DATABASE_URL takes sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME."
            )
        return cls(
            home=home,
            database_url=database,
            database_app_role=environment.get("PRESSMARK_DATABASE_APP_ROLE", ""),
            broker_url=_broker(environment.get("PRESSMARK_BROKER_URL", "filesystem://localhost")),
            debug=_flag(environment, "PRESSMARK_DEBUG", False),
            allowed_hosts=environment.get("PRESSMARK_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]").split(","),
            secure=_flag(environment, "PRESSMARK_SECURE", False),
            upload_limit_bytes=_integer(environment, "PRESSMARK_UPLOAD_LIMIT_BYTES", 64 * 1024**3),
            run_memory_limit_bytes=_integer(environment, "PRESSMARK_RUN_MEMORY_LIMIT_BYTES", 16 * 1024**3),
            run_time_limit_seconds=_integer(environment, "PRESSMARK_RUN_TIME_LIMIT_SECONDS", 6 * 3600),
            lease_seconds=_integer(environment, "PRESSMARK_LEASE_SECONDS", 30),
            workers=_integer(environment, "PRESSMARK_WORKERS", 1),
            host_id=environment.get("PRESSMARK_HOST_ID", "").strip(),
            anchors=Path(environment.get("PRESSMARK_ANCHORS", home / "anchors")),
            witnesses=Path(environment.get("PRESSMARK_WITNESSES", home / "witnesses")),
            anchor_seconds=_integer(environment, "PRESSMARK_ANCHOR_SECONDS", 3600),
        )
