"""Fields that several forms of the desk share."""

from __future__ import annotations

import json
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


class DocumentField(forms.CharField):
    """A document that somebody writes as JSON; its value is what the JSON says."""

    def __init__(self, *, of_type: str, max_length: int) -> None:
        super().__init__(
            label="Document", max_length=max_length, widget=forms.Textarea(attrs={"rows": 30, "class": "code"}),
            help_text=f"JSON in the language {of_type}. A refusal names the first place that is wrong.",
        )  # fmt: skip

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise forms.ValidationError(f"This is no JSON: {error}") from None


class AliasField(forms.CharField):
    """A name that consumers resolve."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=63, validators=[validate_slug], **kwargs)
