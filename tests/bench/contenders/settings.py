"""Settings of one contender, named by PRESSMARK_TEST_CONTENDER: the same database options for all, and its own application only."""

from __future__ import annotations

import os

from registry.settings import *  # noqa: F403
from registry.settings import INSTALLED_APPS as PRODUCT_APPS

CONTENDER = os.environ["PRESSMARK_TEST_CONTENDER"]
SECRET_KEY = "only for tests"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
_LIBRARIES = {
    "plain": [],
    "auditlogged": ["auditlog"],
    "historied": ["simple_history"],
    "tracked": ["pgtrigger", "pghistory"],
}
if CONTENDER == "governed":
    INSTALLED_APPS = [*PRODUCT_APPS, "tests.bench.contenders.governed.apps.GovernedConfig"]
else:
    AUTH_USER_MODEL = "auth.User"
    INSTALLED_APPS = [
        "django.contrib.auth",
        "django.contrib.contenttypes",
        *_LIBRARIES[CONTENDER],
        f"tests.bench.contenders.{CONTENDER}",
    ]
    PGTRIGGER_INSTALL_ON_MIGRATE = True
