"""The verbs of notices and webhooks; all of them talk to a server."""

from __future__ import annotations

TELLING = [
    ("list-notices", "what you were told"),
    ("choose-mail", "have notices come by mail as well, or no more"),
    ("register-webhook", "have an address told of events"),
    ("list-webhooks", "the webhooks that you watch over: what waits and what failed"),
    ("resend-webhook", "try again what was given up for a webhook"),
    ("rotate-webhook", "a new secret for a webhook"),
    ("end-webhook", "have an address told of nothing any more"),
]
"""Name and what it is for; the module is that of the name."""
