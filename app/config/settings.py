"""Settings. Those that differ by deployment come from the environment; core.env rejects invalid ones."""

import base64
import hashlib
import os
import sys
from pathlib import Path

from csp.constants import NONE, SELF

from core.env import Environment
from core.logs import logging_config

BASE_DIR = Path(__file__).resolve().parent.parent

env = Environment(os.environ)

# --- Identity -------------------------------------------------------------------------------------------------------

DEBUG = env.debug()
SECRET_KEY = env.secret_key()
ALLOWED_HOSTS = env.allowed_hosts()
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS")

# gunicorn's (config/gunicorn.py). Read here too, so that `migrate`, which runs first, fails on an invalid value.
WEB_CONCURRENCY = env.workers()

INSTALLED_APPS = [
    "users.apps.AdminConfig",  # django.contrib.admin, with a second factor
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    # Before staticfiles: `runserver` then serves static files exactly as gunicorn does.
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "csp",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "core",  # its `migrate` replaces Django's
    "users",
    "flags",
]

MIDDLEWARE = [
    "core.middleware.RequestLogMiddleware",
    # Before the middlewares that read the host, the scheme or the database.
    "core.health.HealthMiddleware",
    "core.middleware.ApiErrorMiddleware",
    "core.middleware.DatabaseUnavailableMiddleware",
    "core.middleware.HttpsPortMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "core.middleware.ContentSecurityPolicyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "users.sessions.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",  # one more query only for sessions with a second factor
    "users.admin_site.NetworkMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- Data -----------------------------------------------------------------------------------------------------------

DATABASES = {
    "default": {
        "ENGINE": "core.postgresql",
        **env.database(),
        # Finite, so that a pooler or server that shuts down sees its clients disconnect.
        "CONN_MAX_AGE": 120,
        # Replaces a connection that was closed while idle (PgBouncer restarted) instead of failing the request;
        # core.postgresql detects it without a round trip.
        "CONN_HEALTH_CHECKS": True,
        # With transaction pooling, the next transaction may get another server session, which lacks the cursor.
        "DISABLE_SERVER_SIDE_CURSORS": True,
    }
}
# Only `Prepared` statements are prepared (docs/adr/0046), never by their count. None: those neither.
DATABASES["default"]["OPTIONS"] |= {"server_side_binding": True, "prepare_threshold": sys.maxsize}
# An unreachable database blocks a worker for seconds, not for libpq's two minutes.
DATABASES["default"]["OPTIONS"].setdefault("connect_timeout", "3")
# For what may be some seconds old (core.replica): no router, so nothing else goes there.
if env.flag("REPLICA_READS"):
    DATABASES["replica"] = env.replica(DATABASES["default"])
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# In each worker's own memory: it holds the API's throttle counters and one aggregate. A write to a shared cache (a
# table, a file) on every request would cost more than the request. A throttle therefore counts per worker: three of
# them let up to three times its rate through. The exact limits, per address, are docker/proxy/nginx.conf's.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "OPTIONS": {"MAX_ENTRIES": 10_000},
    }
}

# --- Accounts -------------------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "users.User"
SESSION_ENGINE = "users.sessions"
# Sessions name the second, which the first only precedes.
AUTHENTICATION_BACKENDS = ["users.login_attempts.LimitBackend", "django.contrib.auth.backends.ModelBackend"]
PASSWORD_RESET_TIMEOUT = 3600  # seconds that the link of a mail is good for
SIGN_UP_TIMEOUT = 24 * 3600  # the same, for the link that makes an account
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "home"

# --- Admin ----------------------------------------------------------------------------------------------------------

# From other networks /admin/ is 404. Those who may open it need a second factor (`manage.py second_factor`).
ADMIN_NETWORKS = env.admin_networks()
OTP_TOTP_ISSUER = "Flag Learning"

# --- Monitoring -----------------------------------------------------------------------------------------------------

# Where the admin's dashboard reads its figures (core.dashboard). docker/compose/monitoring.yml sets it; without it
# there is no dashboard.
PROMETHEUS_URL = env.text("PROMETHEUS_URL").rstrip("/")
# Where unhandled exceptions go, without personal data (core.sentry). docker/compose/sentry.yml sets it.
SENTRY_DSN = env.text("SENTRY_DSN")

# --- Mail -----------------------------------------------------------------------------------------------------------

# Without a mail server development prints mails. Production sends none, as a printed link would be in the log: it
# offers no password reset, and signing up verifies no address.
EMAIL_HOST = env.text("EMAIL_HOST")
EMAIL_PORT = env.port("EMAIL_PORT", 587)
EMAIL_HOST_USER = env.text("EMAIL_HOST_USER")
EMAIL_HOST_PASSWORD = env.secret("EMAIL_HOST_PASSWORD")
EMAIL_USE_SSL = EMAIL_PORT == 465
EMAIL_USE_TLS = not EMAIL_USE_SSL
EMAIL_TIMEOUT = 10  # seconds
DEFAULT_FROM_EMAIL = env.text("EMAIL_FROM", "Flag Learning <noreply@localhost>")
EMAIL_BACKEND = "core.mail.BackgroundEmailBackend" if EMAIL_HOST else "django.core.mail.backends.console.EmailBackend"
SENDS_MAIL = bool(EMAIL_HOST) or not env.production

# --- Time and language ----------------------------------------------------------------------------------------------

# A day of the game is a UTC day for all players.
TIME_ZONE = "UTC"
USE_TZ = True
LANGUAGE_CODE = "en-gb"
USE_I18N = False

# --- Static files ---------------------------------------------------------------------------------------------------

STATIC_URL = "/static/"
STATIC_ROOT = Path(env.text("STATIC_ROOT", str(BASE_DIR / "staticfiles")))
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        # Names with a hash can be cached for ever; in development, files are read from their source folder.
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

# --- Security -------------------------------------------------------------------------------------------------------

# Only nginx connects (a Unix socket). It replaces the client's header, unless that comes from one of TRUSTED_PROXIES.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# In development, logging in works over plain HTTP on localhost.
SECURE_SSL_REDIRECT = env.production
PUBLIC_HTTPS_PORT = env.port("PUBLIC_HTTPS_PORT", 443)  # where plain http is redirected to
SESSION_COOKIE_SECURE = env.production
CSRF_COOKIE_SECURE = env.production
SESSION_COOKIE_HTTPONLY = True
CSRF_COOKIE_HTTPONLY = True  # pages contain the token, API clients get it from /api/csrf
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if env.production else 0
# Both speak for other host names of the domain, so the site's owner decides; `check --deploy` would ask for them.
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.flag("HSTS_INCLUDE_SUBDOMAINS")
SECURE_HSTS_PRELOAD = env.hsts_preload()
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# In each page (core/templatetags/style.py); the policy names its hash. In development a file of its own.
INLINE_STYLE = "" if DEBUG else (BASE_DIR / "static/site.css").read_text(encoding="utf-8")
_STYLE_DIGEST = base64.b64encode(hashlib.sha256(INLINE_STYLE.encode()).digest()).decode()

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF, f"'sha256-{_STYLE_DIGEST}'"] if INLINE_STYLE else [SELF],
        "img-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

# The API's bodies are some dozen bytes; the admin's forms are the largest.
DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024

# --- API (django-ninja) ---------------------------------------------------------------------------------------------

NINJA_NUM_PROXIES = 1  # nginx: it replaces X-Forwarded-For by the client's address

# --- Logs -----------------------------------------------------------------------------------------------------------

SLOW_REQUEST_SECONDS = 1  # requests that take as long are logged here; nginx logs each (core/middleware.py)
LOGGING_CONFIG = "core.logs.configure"
LOGGING = logging_config()
