"""Django's settings. What an installation chooses is read in `registry.configuration`; everything else is fixed here."""

from __future__ import annotations

import importlib.util
import secrets
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from csp.constants import NONE, SELF

from registry.configuration import Configuration, ConfigurationError

try:
    CONFIGURATION = Configuration.read()
except ConfigurationError as error:
    sys.exit(f"pressmark: {error}")


def _templates() -> Path:
    """In a checkout beside the packages; in an installed wheel a data package of its own."""
    beside = Path(__file__).resolve().parent.parent / "templates"
    if beside.is_dir():
        return beside
    found = importlib.util.find_spec("pressmark_templates")
    places = list(found.submodule_search_locations or []) if found else []
    return Path(places[0]) if places else beside


PRESSMARK_HOME = CONFIGURATION.home
PRESSMARK_STORE = PRESSMARK_HOME / "store"
PRESSMARK_KEYS = PRESSMARK_HOME / "keys"
PRESSMARK_CHECKPOINTS = PRESSMARK_HOME / "checkpoints"
PRESSMARK_RUNS = PRESSMARK_HOME / "runs"
PRESSMARK_UPLOAD_LIMIT_BYTES = CONFIGURATION.upload_limit_bytes
PRESSMARK_RUN_MEMORY_LIMIT_BYTES = CONFIGURATION.run_memory_limit_bytes
PRESSMARK_RUN_TIME_LIMIT_SECONDS = CONFIGURATION.run_time_limit_seconds
PRESSMARK_LEASE_SECONDS = CONFIGURATION.lease_seconds
PRESSMARK_WORKERS = CONFIGURATION.workers
PRESSMARK_HOST_ID = CONFIGURATION.host_id
PRESSMARK_ANCHORS = CONFIGURATION.anchors
PRESSMARK_WITNESSES = CONFIGURATION.witnesses
PRESSMARK_ANCHOR_SECONDS = CONFIGURATION.anchor_seconds
PRESSMARK_DATABASE_APP_ROLE = CONFIGURATION.database_app_role
PRESSMARK_PUBLIC_URL = CONFIGURATION.public_url
PRESSMARK_MAIL_HOST = CONFIGURATION.mail_host
PRESSMARK_MAIL_PORT = CONFIGURATION.mail_port
PRESSMARK_MAIL_SECURITY = CONFIGURATION.mail_security
PRESSMARK_MAIL_USER = CONFIGURATION.mail_user
PRESSMARK_MAIL_PASSWORD_FILE = CONFIGURATION.mail_password_file
PRESSMARK_MAIL_FROM = CONFIGURATION.mail_from
PRESSMARK_WEBHOOK_NETWORKS = CONFIGURATION.webhook_networks
PRESSMARK_ADMISSION_SECONDS = CONFIGURATION.admission_seconds

_secret_file = PRESSMARK_HOME / "secret_key"
SECRET_KEY = _secret_file.read_text().strip() if _secret_file.is_file() else secrets.token_urlsafe(50)
DEBUG = CONFIGURATION.debug
ALLOWED_HOSTS = CONFIGURATION.allowed_hosts


def _database(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": url.removeprefix("sqlite:///"),
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 30,
                "init_command": (
                    "PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;PRAGMA foreign_keys=ON;PRAGMA recursive_triggers=ON;"
                ),
            },
        }
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }


DATABASES = {"default": {**_database(CONFIGURATION.database_url), "ATOMIC_REQUESTS": False}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "registry.Actor"

INSTALLED_APPS = [
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "knox",
    "registry.apps.RegistryConfig",
    "audit.apps.AuditConfig",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "registry.urls"
WSGI_APPLICATION = "registry.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [_templates()],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "builtins": [
                "registry.desk.templatetags.pressmark",
                "registry.desk.templatetags.releases",
                "registry.desk.templatetags.governing",
            ],
        },
    }
]

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/login/"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
DATETIME_FORMAT = "Y-m-d H:i"
DATE_FORMAT = "Y-m-d"
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = PRESSMARK_HOME / "static"
WHITENOISE_USE_FINDERS = True
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = CONFIGURATION.secure
SECURE_SSL_REDIRECT = CONFIGURATION.secure
SECURE_HSTS_SECONDS = 31_536_000 if CONFIGURATION.secure else 0
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["knox.auth.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "registry.access.http.problem_response",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Pressmark",
    "DESCRIPTION": "A registry for compressed models that an auditor can trust without trusting us.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
}

CELERY_BROKER_URL = CONFIGURATION.broker_url
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
if CONFIGURATION.broker_url.startswith("filesystem"):
    _folder = str(PRESSMARK_HOME / "broker")
    CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {
        "data_folder_in": _folder,
        "data_folder_out": _folder,
        "control_folder": str(PRESSMARK_HOME / "broker-control"),
        "store_processed": False,
    }
else:
    CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": CONFIGURATION.run_time_limit_seconds + 3600}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
}
