"""Every setting that an installation may choose, typed, read from the environment once, and explained where it is wrong."""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
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
    "PRESSMARK_PUBLIC_URL",
    "PRESSMARK_MAIL_HOST",
    "PRESSMARK_MAIL_PORT",
    "PRESSMARK_MAIL_SECURITY",
    "PRESSMARK_MAIL_USER",
    "PRESSMARK_MAIL_PASSWORD_FILE",
    "PRESSMARK_MAIL_FROM",
    "PRESSMARK_WEBHOOK_NETWORKS",
    "PRESSMARK_ADMISSION_SECONDS",
]
_OF_THE_COMMAND_LINE = {"PRESSMARK_SERVER", "PRESSMARK_TOKEN"}
_PREFIX = "PRESSMARK_"
_ALIKE = 0.85
_MAIL_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_ADDRESS = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+")
_PUBLIC_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]_-]+(/[A-Za-z0-9._~/-]*)?")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
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


def _mail_security(environment: Mapping[str, str]) -> str:
    """How the line to the mail server is closed; a password never goes over an open line to another machine."""
    security = environment.get("PRESSMARK_MAIL_SECURITY", "starttls")
    if security not in _MAIL_PORTS:
        raise ConfigurationError(f"PRESSMARK_MAIL_SECURITY is {security!r}; it takes {', '.join(_MAIL_PORTS)}.")
    user, host = environment.get("PRESSMARK_MAIL_USER", ""), environment.get("PRESSMARK_MAIL_HOST", "")
    if user and not environment.get("PRESSMARK_MAIL_PASSWORD_FILE"):
        raise ConfigurationError("PRESSMARK_MAIL_USER needs PRESSMARK_MAIL_PASSWORD_FILE, a file with the password.")
    if user and security == "none" and host not in _LOOPBACK:
        raise ConfigurationError(
            "PRESSMARK_MAIL_SECURITY is 'none', which would show the password to the network; it takes starttls or tls."
        )
    return security


def _mail_from(environment: Mapping[str, str]) -> str:
    text = environment.get("PRESSMARK_MAIL_FROM", "")
    if (text or environment.get("PRESSMARK_MAIL_HOST")) and not _ADDRESS.fullmatch(text):
        raise ConfigurationError(f"PRESSMARK_MAIL_FROM is {text!r}; it takes the address that mails come from.")
    return text


def _public_url(environment: Mapping[str, str]) -> str:
    text = environment.get("PRESSMARK_PUBLIC_URL", "").rstrip("/")
    if text and not _PUBLIC_URL.fullmatch(text):
        raise ConfigurationError(f"PRESSMARK_PUBLIC_URL is {text!r}; it looks like https://pressmark.example.org.")
    return text


def _networks(environment: Mapping[str, str]) -> list[Network]:
    text = environment.get("PRESSMARK_WEBHOOK_NETWORKS", "")
    try:
        return [ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise ConfigurationError(f"PRESSMARK_WEBHOOK_NETWORKS takes networks such as 10.1.0.0/16: {error}.") from None


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
    public_url: str
    mail_host: str
    mail_port: int
    mail_security: str
    mail_user: str
    mail_password_file: str
    mail_from: str
    webhook_networks: list[Network]
    admission_seconds: int

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
        security = _mail_security(environment)
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
            public_url=_public_url(environment),
            mail_host=environment.get("PRESSMARK_MAIL_HOST", "").strip(),
            mail_port=_integer(environment, "PRESSMARK_MAIL_PORT", _MAIL_PORTS[security]),
            mail_security=security,
            mail_user=environment.get("PRESSMARK_MAIL_USER", ""),
            mail_password_file=environment.get("PRESSMARK_MAIL_PASSWORD_FILE", ""),
            mail_from=_mail_from(environment),
            webhook_networks=_networks(environment),
            admission_seconds=_integer(environment, "PRESSMARK_ADMISSION_SECONDS", 900),
        )
