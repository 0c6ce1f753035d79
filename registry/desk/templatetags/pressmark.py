"""Template tags and filters of the pages."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping

from django import template
from django.template import Context
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from registry.access.http import caller_of
from registry.catalog.models import Evidence, ModelVersion
from registry.compression.models import Run
from registry.compression.queries import Material, Names
from registry.compression.rules import parameter_text
from registry.desk import figures, metrics
from registry.desk.facts import fact_text
from registry.provenance.dataset_files import files_of

register = template.Library()
_NOT_IN_A_CLASS = re.compile(r"[^a-z0-9-]+")
_JOINT = re.compile(r"_|(?<!\bre)(?<!\bbit)-")
"""What joins the words of a stored value; `re-derived` and `bit-exact` are one word each."""


@register.filter
def short_digest(value: str | None) -> str:
    """`sha256:` and the first twelve digits, as people compare them."""
    return "" if not value else value[:19]


@register.simple_tag
def digest(value: str | None, name: str = "the full digest") -> SafeString:
    """A digest in short form; the full one is the title, what is copied, and what is printed."""
    if not value:
        return format_html('<span class="soft">{}</span>', "no digest known")
    return format_html(
        '<code class="digest" title="{}" data-copy="{}" data-name="{}">{}</code>', value, value, name, value[:19]
    )


@register.simple_tag
def status(word: str | None, label: str = "") -> SafeString:
    """A status as word, shape and colour."""
    said = str(word) if word else "unknown"
    token = _NOT_IN_A_CLASS.sub("-", said.lower()).strip("-")
    return format_html('<span class="status status-{}">{}</span>', token, label or _JOINT.sub(" ", said))


@register.simple_tag
def when(moment: datetime.datetime | None, missing: str = "never") -> SafeString:
    """A moment in UTC, to the minute; exact to the second in its title."""
    if moment is None:
        return format_html('<span class="soft">{}</span>', missing)
    utc = moment.astimezone(datetime.UTC)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        utc.isoformat(), utc.strftime("%Y-%m-%d %H:%M:%S UTC"), utc.strftime("%Y-%m-%d %H:%M"),
    )  # fmt: skip


@register.simple_tag
def instant(time: str | None, missing: str = "never") -> SafeString:
    """A sealed time, to the second; to the microsecond in its title, for acts may follow each other within a second."""
    if not time:
        return format_html('<span class="soft">{}</span>', missing)
    day, _, clock = time.removesuffix("Z").partition("T")
    return format_html('<time datetime="{}" title="{} {} UTC">{} {}</time>', time, day, clock, day, clock[:8])


@register.simple_tag
def person(sealed: Mapping[str, str | None] | None) -> SafeString:
    """Who: today's name, or the beginning of the sealed id, with the role under which it was done."""
    if not sealed:
        return format_html("{}", "nobody")
    name = sealed["name"] or f"actor {str(sealed['id'])[:8]}"
    role = sealed["role"]
    if not role or role == name:
        return format_html("<strong>{}</strong>", name)
    return format_html("<strong>{}</strong> as {}", name, role_name(role))


@register.simple_tag
def entry(position: int) -> SafeString:
    """An entry of the ledger by its position, with its page."""
    return format_html('<a href="{}">entry {}</a>', reverse("audit:entry", args=[position]), position)


@register.filter
def kind_words(kind: str) -> str:
    """`alias.rolled_back` as people read it: what, and what happened to it."""
    return kind.replace(".", " ").replace("_", " ")


@register.simple_tag(takes_context=True)
def material(context: Context, row: Material | None, before: str = "") -> SafeString:
    """A parent, recipe or dataset version by its name, a version with its page; by its digest where it is of another team.

    `before` stands before a name, and not before "of another team".
    """
    if row is None:
        return format_html('<span class="soft">{}</span>', "none")
    names = _names(context)
    if not names.shows(row):
        return format_html('<span class="soft">{}</span>', names.reduced(row))
    if not isinstance(row, ModelVersion):
        return format_html("{}{}", before, row)
    href = reverse("desk:version", args=[row.model.team.slug, row.model.slug, row.number])
    return format_html('{}<a href="{}">{}</a>', before, href, row)


@register.simple_tag(takes_context=True)
def judged_rows(context: Context, run: Run, before: str = "") -> str:
    """Of the rows that a run judges by how many there are and, where one file of several was chosen, which."""
    if run.evaluation is None:
        return ""
    count, name = run.evaluation.row_count, ""
    if run.evaluation_file is not None:
        chosen = next((file for file in files_of(run.evaluation) if file.path == run.evaluation_file), None)
        count = None if chosen is None else chosen.row_count
        path = _names(context).evaluation_file(run)
        name = "one of its files" if path is None else f"file {path}"
    said = ", ".join(part for part in (name, f"{count} rows" if count else "") if part)
    return f"{before}{said}" if said else ""


@register.simple_tag(takes_context=True)
def sealed(context: Context, row: Evidence, label: str = "document") -> SafeString:
    """The sealed document of evidence as a download, for those who may read the data that it is about."""
    if row.dataset_version is not None and not _names(context).shows(row.dataset_version):
        return format_html('<span class="soft">{} for readers of the data only</span>', label)
    model, version = context["model"], context["version"]
    href = reverse("desk:evidence-document", args=[model.team.slug, model.slug, version.number, row.pk])
    return format_html('<a href="{}">{}</a>', href, label)


def _names(context: Context) -> Names:
    """What the reader of the page may know by name; worked out once for a page."""
    request = context["request"]
    names: Names | None = getattr(request, "pressmark_names", None)
    if names is None:
        names = request.pressmark_names = Names(caller_of(request, "page"))
    return names


@register.filter
def size(value: int | None) -> str:
    """Bytes as people read them."""
    return figures.size_text(value)


@register.filter
def exact_size(value: int | None) -> str:
    """Bytes to the last one, in groups of three."""
    return "unknown" if value is None else f"{value:,} bytes".replace(",", " ")


@register.filter
def count(value: int | None) -> str:
    """A number of rows, in groups of three."""
    return figures.count_text(value)


@register.filter
def kind_name(value: str) -> str:
    """A kind of evidence in words."""
    return metrics.kind_name(value)


@register.filter
def format_name(value: str) -> str:
    """A file format as people write it."""
    return metrics.FORMATS.get(value, value)


@register.filter
def role_name(value: str | None) -> str:
    """A role as people say it."""
    return (value or "").replace("_", " ").replace("-", " ")


@register.simple_tag
def fact(name: str, value: str) -> str:
    """What an environment says, in words."""
    return fact_text(name, value)


@register.filter
def parameter_value(value: object) -> str:
    """The value of a parameter of a recipe's step, in words."""
    return parameter_text(value)


@register.filter
def run_name(value: object) -> str:
    """The end of an id: the part of a UUIDv7 that differs between runs of one day."""
    return str(value)[-8:]


@register.simple_tag
def knowledge(word: str) -> SafeString:
    """Yes and no as plain words, for either may be the good answer; unknown stands out."""
    return status("unknown") if word == "unknown" else format_html("{}", word)
