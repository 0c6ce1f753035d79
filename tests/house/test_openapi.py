"""The OpenAPI document is whole: every path is in it, and it was made without a warning."""

from __future__ import annotations

import io

from django.core.management import call_command
from django.urls import URLPattern, URLResolver, get_resolver


def api_paths(patterns: list[URLPattern | URLResolver], prefix: str = "") -> list[str]:
    found = []
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            found += api_paths(pattern.url_patterns, path)
        elif path.startswith("api/v1/") and path != "api/v1/schema":
            found.append(path)
    return found


def test_the_openapi_document_is_made_without_a_warning_and_names_every_operation() -> None:
    out = io.StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", "--format", "openapi-json", stdout=out)
    import json

    document = json.loads(out.getvalue())
    assert len(document["paths"]) == len(set(api_paths(get_resolver().url_patterns)))
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation.get("operationId"), path
