"""One settings file for every environment. What differs comes from the environment; what is missing fails loudly."""

import os
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import dj_database_url
import django_stubs_ext
from cryptography.fernet import Fernet, MultiFernet
from django.core.exceptions import ImproperlyConfigured
from kombu import Queue

from basekv import beat
from basekv.console.theme import UNFOLD as UNFOLD

django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent


def required(name: str) -> str:
    """The environment variable, or a sentence that says what to do about its absence."""
    try:
        return os.environ[name]
    except KeyError:
        raise ImproperlyConfigured(
            f"{name} is not set. `make run` sets it for the local stack (source .devstack/env to use that one "
            "from this shell); docs/operating.md lists what production needs."
        ) from None


def fernet_keys(name: str) -> list[str]:
    """At least one, each checked, and none of them shown."""
    required(name)
    keys = words(name, "")
    try:
        MultiFernet([Fernet(key) for key in keys])
    except ValueError:
        raise ImproperlyConfigured(
            f"{name} must be Fernet keys, separated by commas; docs/operating.md says how to make one."
        ) from None
    return keys


def flag(name: str) -> bool:
    return os.environ.get(name, "").lower() in {"1", "true", "yes", "on"}


def words(name: str, default: str) -> list[str]:
    return [word.strip() for word in os.environ.get(name, default).split(",") if word.strip()]


# --- Secrets ----------------------------------------------------------------------------------------------------

SECRET_KEY = required("BASEKV_SECRET_KEY")
# Instance passwords at rest: Fernet keys, the first one encrypts, all of them decrypt.
BASEKV_ENCRYPTION_KEYS = fernet_keys("BASEKV_ENCRYPTION_KEYS")
# Whoever has it may read /metrics; without it there is no such page.
BASEKV_METRICS_TOKEN = os.environ.get("BASEKV_METRICS_TOKEN", "")
# Path of the OpenSSH private key with which the worker reaches the agents. The web process needs none.
BASEKV_SSH_KEY = os.environ.get("BASEKV_SSH_KEY", "")

# --- Django -----------------------------------------------------------------------------------------------------

DEBUG = flag("BASEKV_DEBUG")
ALLOWED_HOSTS = words("BASEKV_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = words("BASEKV_TRUSTED_ORIGINS", "")
CSRF_FAILURE_VIEW = "basekv.console.errors.form_expired"
# Networks of the proxies whose X-Forwarded-For is believed.
BASEKV_TRUSTED_PROXIES = [ip_network(word) for word in words("BASEKV_TRUSTED_PROXIES", "")]

INSTALLED_APPS = [
    "basekv.console",  # before the theme, and that before the admin: each takes the place of what the next has
    "unfold",
    "django.contrib.admin",
    "accounts",  # before auth, whose createsuperuser writes nothing into the audit trail
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "billing",
    "nodes",
    "instances",
]

MIDDLEWARE = [
    "basekv.requests.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "basekv.policies.ContentSecurityPolicy",
    "basekv.bodies.BodyLimit",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.sessions.SessionLimits",
    "accounts.sessions.FirstThingsFirst",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "basekv.urls"
WSGI_APPLICATION = "basekv.wsgi.application"
AUTH_USER_MODEL = "accounts.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TIME_ZONE = "UTC"
USE_TZ = True
FORMAT_MODULE_PATH = "basekv.console.formats"
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
STATIC_URL = "/static/"
STATIC_ROOT = os.environ.get("BASEKV_STATIC_ROOT", BASE_DIR / "staticfiles")

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# --- PostgreSQL -------------------------------------------------------------------------------------------------

DATABASES: dict[str, Any] = {
    "default": dj_database_url.parse(required("DATABASE_URL"), conn_max_age=300, conn_health_checks=True)
}
DATABASES["default"].setdefault("OPTIONS", {}).update(
    {
        "options": "-c statement_timeout=30000 -c lock_timeout=10000",
        # A network that loses everything is noticed: while we wait for an answer after 10 + 3 x 5 s, and after 15 s
        # when what we sent is not even acknowledged.
        "connect_timeout": 5,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 15_000,
    }
)

# --- Celery -----------------------------------------------------------------------------------------------------

CELERY_BROKER_URL = required("REDIS_URL")
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# Seconds. A broker that does not answer must not hold up a request (instances.wakeups).
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 300,
    "socket_connect_timeout": 1,
    "socket_timeout": 1,
    "max_retries": 0,
}
CELERY_TASK_PUBLISH_RETRY = False
# Two queues, each with worker processes of its own: no load of operations keeps the watch over the fleet from its work.
# What is not routed is part of the watch. A worker that is told no queue serves both.
CELERY_TASK_QUEUES = [Queue("operations"), Queue("watch")]
CELERY_TASK_CREATE_MISSING_QUEUES = False
CELERY_TASK_DEFAULT_QUEUE = "watch"
CELERY_TASK_ROUTES = {"instances.converge": {"queue": "operations"}}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "basekv.beat:Beat"
CELERY_BEAT_SCHEDULE = beat.SCHEDULE

# --- The API ----------------------------------------------------------------------------------------------------

API_MAX_BODY_BYTES = 64 * 1024

REST_FRAMEWORK: dict[str, Any] = {
    # What the API's views check, read and write is set on their base class, ApiView.
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "EXCEPTION_HANDLER": "basekv.api.errors.handle",
    "DEFAULT_SCHEMA_CLASS": "basekv.api.schema.Schema",
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "BaseKV Agent API",
    "VERSION": "1.0.0",
    "DESCRIPTION": ("Machine-facing API for BaseKV workspace operations. All endpoints require bearer API tokens."),
    "OAS_VERSION": "3.1.0",
    "TAGS": [
        {"name": "identity", "description": "Token identity and account context"},
        {"name": "instances", "description": "Database instance lifecycle operations"},
    ],
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": [],
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"persistAuthorization": False, "displayOperationId": True},
    "COMPONENT_NO_READ_ONLY_REQUIRED": True,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    # Instead of the standard hook, which moves enums out of the places where the contract has them.
    "POSTPROCESSING_HOOKS": ["basekv.api.schema.require_token"],
}

# --- Web security -----------------------------------------------------------------------------------------------

# BASEKV_HTTPS: the site is reached through TLS. The local stack is plain HTTP on loopback.
HTTPS = flag("BASEKV_HTTPS")
SECURE_SSL_REDIRECT = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
# A browser takes a name with __Host- from this host alone and over TLS: no other host of the domain can set it.
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = ("__Host-session", "__Host-csrf") if HTTPS else ("sessionid", "csrftoken")
SESSION_COOKIE_SAMESITE, CSRF_COOKIE_SAMESITE = "Lax", "Strict"
SESSION_ENGINE = "accounts.session_store"
SESSION_COOKIE_AGE = 12 * 3600  # accounts/sessions.py has the limits that the server keeps
LOGIN_URL = "sign_in"
# Whoever signs in to the console without a second factor can do nothing but set one up.
BASEKV_REQUIRE_2FA = flag("BASEKV_REQUIRE_2FA")
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024  # of the console's forms, with basekv/bodies.py

# Prefix of the path -> what a browser may load and run there; the longest one counts.
NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
OURS = (
    "default-src 'none'; script-src 'self'{scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
CONTENT_SECURITY_POLICIES = {
    "/": NOTHING,
    # Swagger UI styles its elements inline.
    "/api/docs": OURS.format(scripts=""),
    # So does the console's theme, whose Alpine.js also evaluates the expressions in its attributes.
    "/admin/": OURS.format(scripts=" 'unsafe-eval'"),
}

# --- Logs: to standard error, one line a record, never a secret --------------------------------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request_id": {"()": "basekv.requests.RequestIdFilter"}},
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "filters": ["request_id"], "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": os.environ.get("BASEKV_LOG_LEVEL", "INFO")},
    "loggers": {
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        "asyncssh": {"level": "WARNING"},
        "django.security.DisallowedHost": {"level": "CRITICAL"},  # anybody can send one, and it is answered
        "django.request": {"level": "ERROR"},  # a customer's mistake is in the answer, not in our log
    },
}
