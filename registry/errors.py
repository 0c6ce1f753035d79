"""Every refusal that a user can meet, as one kind of exception that turns into problem+json (RFC 9457), a page or a CLI line.

A problem says what is wrong (`detail`) and what to do about it (`hint`); `code` is stable and documented, `status` is the HTTP
status. Services raise these; pages, API, admin and CLI only show them.
"""

from __future__ import annotations

from typing import Any


class Problem(Exception):
    """A refusal with a stable code, an HTTP status, one sentence of cause and one of remedy."""

    status = 400
    code = "bad-request"
    title = "The request cannot be carried out"

    def __init__(self, detail: str, *, hint: str = "", code: str | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint
        if code is not None:
            self.code = code
        self.members = members

    def as_dict(self) -> dict[str, Any]:
        """The problem+json body: type, title, status, detail, hint and any extra members."""
        body: dict[str, Any] = {
            "type": f"urn:pressmark:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.hint:
            body["hint"] = self.hint
        body.update(self.members)
        return body


class Invalid(Problem):
    """The input breaks a rule; nothing was stored."""

    status = 422
    code = "invalid"
    title = "The input breaks a rule"


class NotFound(Problem):
    """Not there, or not visible to the caller: the two are never told apart."""

    status = 404
    code = "not-found"
    title = "Not found"


class Forbidden(Problem):
    """The caller may see the thing, but may not do this to it."""

    status = 403
    code = "forbidden"
    title = "Not allowed"


class Conflict(Problem):
    """The state of the thing does not allow the act now."""

    status = 409
    code = "conflict"
    title = "The present state does not allow this"


class Blocked(Conflict):
    """A gate refuses; the members say which rules, and why."""

    code = "blocked"
    title = "A gate refuses this"


class BytesDiffer(Conflict):
    """Stored bytes are missing or no longer match their digest."""

    code = "bytes-differ"
    title = "The stored bytes are not the recorded bytes"


class Unavailable(Problem):
    """Something that the installation needs is not there; the hint says how to get it."""

    status = 503
    code = "unavailable"
    title = "Not available on this installation"


class Gone(Problem):
    """It was there, and will not be again; the hint says what to do instead."""

    status = 410
    code = "gone"
    title = "Not to be had any more"
