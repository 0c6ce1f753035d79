"""Fields that several forms of the desk share."""

from __future__ import annotations

from typing import Any

from django import forms

from registry.fields import validate_slug


class ReasonField(forms.CharField):
    """Why somebody does something: free text, kept with the act."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("label", "Reason")
        kwargs.setdefault(
            "help_text", "Kept with the act. A commitment to it is sealed in the ledger; the text itself can be erased."
        )
        super().__init__(max_length=4000, widget=forms.Textarea(attrs={"rows": 4}), **kwargs)


class AliasField(forms.CharField):
    """A name that consumers resolve."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=63, validators=[validate_slug], **kwargs)
