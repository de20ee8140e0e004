"""The app's settings without what slows tests down."""

from config.settings import *  # noqa: F403

# Password hashing is slow on purpose; test_security.py checks the real hasher.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# Templates name static files without a manifest: `collectstatic` isn't part of a test run.
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

# … and they are served from their source folder, as in development.
WHITENOISE_AUTOREFRESH = True
WHITENOISE_USE_FINDERS = True
