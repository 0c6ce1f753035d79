"""Column types of the governed tables. No floats, no decimals, no many-to-many: see FORMATS, sections 1 and 2."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

from registry.digests import is_digest, is_slug


def validate_digest(value: str) -> None:
    if not is_digest(value):
        raise ValidationError("A digest is 'sha256:' and 64 lower-case hexadecimal digits.")


def validate_slug(value: str) -> None:
    if not is_slug(value):
        raise ValidationError(
            "A name here is 1 to 63 of a-z 0-9 . _ - and begins and ends with a letter or digit, without '..'."
        )


def validate_line(value: str) -> None:
    if not (value.isascii() and value.isprintable()):
        raise ValidationError("One line of printable ASCII is expected; free text belongs in a text field of its own.")


class CheckedCharField(models.CharField):  # type: ignore[type-arg]
    """A text with a rule of its own beside its length."""

    def surely_holds(self, value: object) -> bool:
        """A quick look: whether every check of the column would pass. False only says that they must be made."""
        raise NotImplementedError


class DigestField(CheckedCharField):
    """`sha256:<64 hex>`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["max_length"] = 71
        super().__init__(*args, **kwargs)
        self.validators.append(validate_digest)

    def surely_holds(self, value: object) -> bool:
        return is_digest(value)


class SlugField(CheckedCharField):
    """A name that is sealed in clear and never changes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["max_length"] = 63
        super().__init__(*args, **kwargs)
        self.validators.append(validate_slug)

    def surely_holds(self, value: object) -> bool:
        return is_slug(value)


class LineField(CheckedCharField):
    """One line of printable ASCII that may be sealed in clear."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", 400)
        super().__init__(*args, **kwargs)
        self.validators.append(validate_line)

    def surely_holds(self, value: object) -> bool:
        return (
            type(value) is str
            and 0 < len(value) <= self.max_length  # type: ignore[operator]
            and value.isascii()
            and value.isprintable()
        )
