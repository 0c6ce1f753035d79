"""Notices as mail: plain text, by the mail server of the settings, each with a Message-ID that stays when it leaves again.

What a mail server answers is nobody's sentence of ours: of its words the number alone is kept.
"""

from __future__ import annotations

import logging
import smtplib
import ssl
import time
from collections.abc import Callable, Sequence
from email.utils import format_datetime
from pathlib import Path

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.smtp import EmailBackend

from registry.notices.models import Outgoing
from registry.notices.outcomes import Failed, Held, Outcome, Sent

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 15
SUBJECT_LIMIT_CHARACTERS = 200
_NOT_NOW = 500
"""Answers of a mail server from here on are final (RFC 5321, 4.2.1); those below ask to try again."""


def send_all(rows: Sequence[Outgoing], report: Callable[[Outcome], None], turn_seconds: float) -> None:
    """Send these over one connection; each is reported as soon as the server has taken or refused it."""
    waiting = list(rows)
    backend = None
    try:
        backend = _backend()
        backend.open()
        end = time.monotonic() + turn_seconds
        while waiting:
            report(_send(backend, waiting[0]) if time.monotonic() < end else Held(waiting[0]))
            waiting.pop(0)
    except (OSError, smtplib.SMTPException) as error:  # the server itself: whoever else waits for it waits on
        said = _said(error)
        logger.warning("%s: %s:%s", said, settings.PRESSMARK_MAIL_HOST, settings.PRESSMARK_MAIL_PORT)
        for row in waiting:
            report(Failed(row, said))
    finally:
        if backend is not None:
            _close(backend)


def message(row: Outgoing) -> EmailMessage:
    """The mail of a notice."""
    assert row.actor is not None
    body = row.body
    lines = [f"{body['says']}."]
    if body["more"]:
        lines.append("The same act did this more than once; the page has all of it.")
    lines += [body["do"]] if body["do"] else []
    lines += ["", f"{settings.PRESSMARK_PUBLIC_URL}{body['path']}"] if body["path"] else []
    lines += [
        "",
        f"You are told because {body['reason']}. At {body['at']}"
        + (f", event {row.event_id}." if row.event_id else "."),
        f"No mail any more, or what else you were told: {settings.PRESSMARK_PUBLIC_URL}/notices/",
    ]
    return EmailMessage(
        subject=f"[Pressmark] {body['says']}"[:SUBJECT_LIMIT_CHARACTERS],
        body="\n".join(lines) + "\n",
        from_email=settings.PRESSMARK_MAIL_FROM,
        to=[row.actor.email],
        headers={
            "Auto-Submitted": "auto-generated",
            "Date": format_datetime(row.created_at),
            "Message-ID": f"<{row.pk}@{settings.PRESSMARK_MAIL_FROM.rpartition('@')[2]}>",
        },
    )


def _backend() -> EmailBackend:
    password = Path(settings.PRESSMARK_MAIL_PASSWORD_FILE).read_text().strip() if settings.PRESSMARK_MAIL_USER else ""
    return EmailBackend(
        host=settings.PRESSMARK_MAIL_HOST, port=settings.PRESSMARK_MAIL_PORT,
        username=settings.PRESSMARK_MAIL_USER, password=password,
        use_tls=settings.PRESSMARK_MAIL_SECURITY == "starttls", use_ssl=settings.PRESSMARK_MAIL_SECURITY == "tls",
        timeout=TIMEOUT_SECONDS, fail_silently=False,
    )  # fmt: skip


def _send(backend: EmailBackend, row: Outgoing) -> Outcome:
    try:
        backend.send_messages([message(row)])
    except (ValueError, UnicodeError):
        return Failed(row, "the address of mail cannot be used", final=True)
    except smtplib.SMTPRecipientsRefused as refused:
        code = max(answer[0] for answer in refused.recipients.values())
        return Failed(row, f"the mail server refuses the address ({code})", final=code >= _NOT_NOW)
    except smtplib.SMTPDataError as refused:
        return Failed(
            row, f"the mail server refuses the mail ({refused.smtp_code})", final=refused.smtp_code >= _NOT_NOW
        )
    return Sent(row)


def _close(backend: EmailBackend) -> None:
    """What was sent was reported; how the server says goodbye changes nothing."""
    backend.fail_silently = True
    backend.close()


def _said(error: Exception) -> str:
    """A sentence without host and port: /health, which everybody may read, repeats it; the log and `pressmark check` name them."""
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return f"the mail server does not take user and password ({error.smtp_code})"
    if isinstance(error, smtplib.SMTPResponseException):
        return f"the mail server refuses ({error.smtp_code})"
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return "the mail server does not offer what PRESSMARK_MAIL_SECURITY or PRESSMARK_MAIL_USER asks for"
    if isinstance(error, ssl.SSLError):
        return "the certificate of the mail server does not hold"
    if isinstance(error, FileNotFoundError | PermissionError):
        return "the file that PRESSMARK_MAIL_PASSWORD_FILE names cannot be read"
    return f"the mail server does not answer ({type(error).__name__})"
