"""Our application with the production settings of cookiecutter-django, as far as they touch a request.

github.com/cookiecutter/cookiecutter-django, below {{cookiecutter.project_slug}}/:
    config/settings/base.py        at e531089f, line 51 ATOMIC_REQUESTS, MIDDLEWARE, I18N, no Python-side request log
    config/settings/production.py  at 9bef46c1, line 34 CONN_MAX_AGE=60, redirect to https, HSTS, cookies, LOGGING
Its database backend, session engine, health checks of connections and server-side binding are Django's defaults. Its
cache is Redis, which the measured views don't ask. Left out, since they would only slow it down: allauth, DRF, Sentry.
"""

from config.settings import *  # noqa: F403
from config.settings import DATABASES

DATABASES["default"] = {
    **{key: DATABASES["default"][key] for key in ("NAME", "USER", "PASSWORD", "HOST", "PORT")},
    "ENGINE": "django.db.backends.postgresql",
    "ATOMIC_REQUESTS": True,
    "CONN_MAX_AGE": 60,
}

SESSION_ENGINE = "django.contrib.sessions.backends.db"

# The application's own middleware (request ids and logs, API errors, CSP, health) is not in it.
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
USE_I18N = True

SECURE_SSL_REDIRECT = True
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
SECURE_HSTS_SECONDS = 60
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True

LOGGING_CONFIG = "logging.config.dictConfig"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"verbose": {"format": "%(levelname)s %(asctime)s %(module)s %(process)d %(thread)d %(message)s"}},
    "handlers": {"console": {"level": "DEBUG", "class": "logging.StreamHandler", "formatter": "verbose"}},
    "root": {"level": "INFO", "handlers": ["console"]},
}
