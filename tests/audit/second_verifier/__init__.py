"""A second verifier of bundles and completed receipts, written from docs/bundle-format.md alone.

It shares no code with the product: what the page leaves out would show as a difference between the two.
"""

from .findings import ANSWERS, Findings, WrongCall
from .verify import verify

__all__ = ["ANSWERS", "Findings", "WrongCall", "verify"]
