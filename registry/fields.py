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


class DigestField(models.CharField):  # type: ignore[type-arg]
    """`sha256:<64 hex>`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["max_length"] = 71
        super().__init__(*args, **kwargs)
        self.validators.append(validate_digest)


class SlugField(models.CharField):  # type: ignore[type-arg]
    """A name that is sealed in clear and never changes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["max_length"] = 63
        super().__init__(*args, **kwargs)
        self.validators.append(validate_slug)


class LineField(models.CharField):  # type: ignore[type-arg]
    """One line of printable ASCII that may be sealed in clear."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", 400)
        super().__init__(*args, **kwargs)
        self.validators.append(validate_line)
