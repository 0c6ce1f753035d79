"""Settings of the tests: the product's own, in a folder of this run. PRESSMARK_TEST_DATABASE_URL chooses PostgreSQL."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

_folder = Path(tempfile.mkdtemp(prefix="pressmark-tests-"))
os.environ["PRESSMARK_HOME"] = str(_folder)
(_folder / "static").mkdir()
if "PRESSMARK_TEST_DATABASE_URL" in os.environ:
    os.environ["PRESSMARK_DATABASE_URL"] = os.environ["PRESSMARK_TEST_DATABASE_URL"]
else:
    os.environ.pop("PRESSMARK_DATABASE_URL", None)
os.environ.pop("PRESSMARK_BROKER_URL", None)

from registry.settings import *  # noqa: E402, F403
from registry.settings import DATABASES  # noqa: E402

SECRET_KEY = "only for tests"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
CELERY_BROKER_URL = "memory://"
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, str] = {}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["TEST"] = {"NAME": str(_folder / "test.sqlite3")}
    # a database of the tests may be lost with the machine; the product's default is FULL
    DATABASES["default"]["OPTIONS"]["init_command"] = DATABASES["default"]["OPTIONS"]["init_command"].replace(
        "synchronous=FULL", "synchronous=OFF"
    )
