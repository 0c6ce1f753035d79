"""The menu of the whole house: pages, API, admin site. Each room has its own menu in `<room>/urls.py`."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

import audit.urls
from audit.health import Health
from registry.access import urls as access
from registry.admin import urls as admin
from registry.catalog import urls as catalog
from registry.compression import urls as compression
from registry.desk import urls as desk
from registry.monitoring import urls as monitoring
from registry.notices import urls as notices
from registry.oversight import urls as oversight
from registry.provenance import urls as provenance
from registry.release import urls as release

_ROOMS = (access, provenance, catalog, compression, oversight, release, monitoring, notices, audit.urls, admin, desk)

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/", include([pattern for room in _ROOMS for pattern in room.api])),
    path("api/v1/schema", SpectacularAPIView.as_view(), name="schema"),
    path("health/", Health.as_view(), name="health"),
    path("api/docs", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="api-docs"),
    *(pattern for room in _ROOMS for pattern in room.pages),
]
