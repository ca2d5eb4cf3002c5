"""Every setting of the project, read from the environment once, with a loud failure."""

import logging
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import environ

from config import logs
from config.menu import menu
from config.numbers import whole
from config.secret import key_of

env = environ.Env()
BASE_DIR = Path(__file__).resolve().parent.parent

# --- What Signalbox itself is told -------------------------------------------------------------

SIGNALBOX_HOME = Path(env.str("SIGNALBOX_HOME", str(BASE_DIR / ".signalbox"))).absolute()
SIGNALBOX_WORK_DIR = Path(env.str("SIGNALBOX_WORK_DIR", str(SIGNALBOX_HOME / "work")))
# Folders below which boards may have local repositories; none named: anywhere.
SIGNALBOX_REPOSITORY_ROOTS = env.list("SIGNALBOX_REPOSITORY_ROOTS", default=[])
# Modules that register agent kinds and jobs, or have hooks, by their dotted paths: one that comes
# with Signalbox, and those of this installation.
SIGNALBOX_MODULES = ["agents.runtime.ready_hooks", *env.list("SIGNALBOX_MODULES", default=[])]
SIGNALBOX_DEFAULT_MODEL = env.str("SIGNALBOX_MODEL", "scripted:echo")
# Networks besides the public internet to which messages and events may be posted: "10.1.0.0/16".
DELIVERY_NETWORKS = [
    ip_network(each) for each in env.list("SIGNALBOX_DELIVERY_NETWORKS", default=[])
]

EXECUTION_LEASE = timedelta(seconds=env.float("SIGNALBOX_LEASE_SECONDS", 30.0))
EXECUTION_MAX_RECOVERIES = env.int("SIGNALBOX_MAX_RECOVERIES", 5)
EXECUTION_DEDUPE_SECONDS = env.float("EXECUTION_DEDUPE_SECONDS", 5.0)
# A priority one step lower starts this much later than its age says, and no later: no starvation.
EXECUTION_AGEING = timedelta(seconds=env.float("SIGNALBOX_AGEING_SECONDS", 300.0))
EXECUTION_RESEND_AFTER = timedelta(seconds=env.float("SIGNALBOX_RESEND_SECONDS", 15.0))
SWEEP_SECONDS = env.float("SIGNALBOX_SWEEP_SECONDS", 5.0)
# How long a worker that was told to stop lets a model call go on before it yields the run.
DRAIN_SECONDS = env.float("SIGNALBOX_DRAIN_SECONDS", 8.0)

# How much comes in. 0 means no limit.
SIGNALBOX_REQUESTS_A_MINUTE = whole("SIGNALBOX_REQUESTS_A_MINUTE", 12_000)
SIGNALBOX_FAILED_TOKENS_A_MINUTE = whole("SIGNALBOX_FAILED_TOKENS_A_MINUTE", 20)
SIGNALBOX_FAILED_LOGINS_A_MINUTE = whole("SIGNALBOX_FAILED_LOGINS_A_MINUTE", 10)
# How many proxies stand before the web, each of which adds to X-Forwarded-For.
SIGNALBOX_TRUSTED_PROXIES = whole("SIGNALBOX_TRUSTED_PROXIES", 0)

# --- Django -------------------------------------------------------------------------------------

DEBUG = env.bool("DEBUG", False)
SECRET_KEY = env.str("SECRET_KEY", "") or key_of(SIGNALBOX_HOME)
# The first seals secrets that have to be read again, every one opens; see agents.sealing.
SEALING_KEYS = [*env.list("SIGNALBOX_SEALING_KEYS", default=[]), SECRET_KEY]
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
# Whoever is no proxy could claim it too.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if SIGNALBOX_TRUSTED_PROXIES else None

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_results",
    "django_structlog",
    "agents",
    "boards",
    "executions",
    "config",
]

# Every one of them runs natively under asyncio: one that did not would hold a thread for as long
# as a synchronous start waits.
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "agents.rest.middleware.problem_middleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
TEMPLATES = [
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
STATIC_URL = "static/"
STATIC_ROOT = SIGNALBOX_HOME / "static"

AUTH_USER_MODEL = "agents.User"
LOGIN_URL = "admin:login"
AUTHENTICATION_BACKENDS = ["agents.rest.logins.ThrottledPasswords"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
FORMAT_MODULE_PATH = "config.formats"

# --- PostgreSQL and Redis -----------------------------------------------------------------------

# `manage.py` starts the embedded services and names them here when nobody else did.
DATABASE_URL = env.str("DATABASE_URL", "")
REDIS_URL = env.str("REDIS_URL", "")
# With neither, only commands that need no database run.
_UNSET = {"default": {"ENGINE": "django.db.backends.dummy"}}
DATABASES = (
    _UNSET
    if not DATABASE_URL
    else {
        "default": {
            **environ.Env.db_url_config(DATABASE_URL),
            "ENGINE": "django.db.backends.postgresql",
            "CONN_MAX_AGE": 0,
            "CONN_HEALTH_CHECKS": True,
            "OPTIONS": {
                # An embedded PostgreSQL's socket folder comes as an option of its URL.
                **environ.Env.db_url_config(DATABASE_URL).get("OPTIONS", {}),
                "pool": {
                    "min_size": 1,
                    "max_size": env.int("SIGNALBOX_DB_POOL", 16),
                    "timeout": 30,
                    "max_idle": 60,
                },
                "application_name": env.str("SIGNALBOX_PROCESS", "signalbox"),
                "options": "-c idle_in_transaction_session_timeout=60000",
            },
        }
    }
)

# --- Celery: messages are hints, rows are the truth ---------------------------------------------

CELERY_BROKER_URL = REDIS_URL or "redis://localhost/0"
CELERY_RESULT_BACKEND = "django-db"
CELERY_RESULT_EXTENDED = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "default"
# Early acknowledgement: with celery 5.7.0 a lost broker connection ends a worker that holds an
# unacknowledged message. The lease and the sweep recover what a lost worker held.
CELERY_TASK_ACKS_LATE = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_DISABLE_PREFETCH = True
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_POOL_LIMIT = 10
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # A publish without them can hang for ever.
    "socket_timeout": 10,
    "socket_connect_timeout": 3,
    "health_check_interval": 15,
    "socket_keepalive": True,
    # Longer than any run between two hints: a redelivered hint is harmless, but useless.
    "visibility_timeout": 3600,
}
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE = {
    "sweep": {"task": "executions.tasks.sweep", "schedule": SWEEP_SECONDS},
}

# --- REST ---------------------------------------------------------------------------------------

API_BODY_LIMIT = 1024 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = API_BODY_LIMIT
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["agents.rest.authentication.CallerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["agents.rest.permissions.RolePermission"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["agents.rest.parsers.BoundedJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "agents.rest.pagination.NewestFirst",
    "DEFAULT_SCHEMA_CLASS": "agents.rest.schema.SignalboxSchema",
    "DEFAULT_FILTER_BACKENDS": ["agents.rest.filters.StrictFilterBackend"],
    "EXCEPTION_HANDLER": "agents.rest.problems.exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Signalbox",
    "DESCRIPTION": "Durable mission control for AI agents.",
    "VERSION": "0",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v0",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_ADD_EXPLICIT_BLANK_NULL_CHOICE": False,
    "ENUM_NAME_OVERRIDES": {
        "ExecutionStatus": "executions.models.Status",
        "EntryType": "executions.models.EntryType",
        "JobStatus": "executions.models.JobStatus",
        "ToolCallStatus": "executions.models.CallStatus",
        "TaskStatus": "boards.models.TaskStatus",
        "Role": "agents.models.Role",
        "SeatRole": "boards.models.SeatRole",
        "ApprovalStatus": "boards.models.ApprovalStatus",
        "ApprovalKind": "boards.models.ApprovalKind",
        "MergeStrategy": "boards.models.MergeStrategy",
        "OnboardingStatus": "boards.models.OnboardingStatus",
        "Interviewer": "boards.models.Interviewer",
        "Presence": "agents.presence.Presence",
        "GatewayKind": "agents.models.GatewayKind",
        "MessageKind": "agents.models.MessageKind",
        "DeliveryState": "agents.models.DeliveryState",
        "PayloadState": "boards.models.PayloadState",
        "LeadWordKind": ["question", "handoff"],
    },
}

# --- Admin and logs -----------------------------------------------------------------------------

UNFOLD = {
    "SITE_TITLE": "Signalbox",
    "SITE_HEADER": "Signalbox",
    "SITE_SYMBOL": "traffic",
    "SIDEBAR": {"navigation": menu()},
}

# Validated before it gets there; see agents.rest.request_id.
DJANGO_STRUCTLOG_TRUST_UPSTREAM_REQUEST_ID = True
# Whoever reads a stream goes away some day: no reason to warn.
DJANGO_STRUCTLOG_REQUEST_CANCELLED_LOG_LEVEL = logging.INFO
LOGGING = logs.configure(
    level=env.str("SIGNALBOX_LOG_LEVEL", "INFO"), as_json=env.bool("SIGNALBOX_LOG_JSON", False)
)
