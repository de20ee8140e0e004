"""The app's own settings, with what would only slow the tests down taken out."""

from config.settings import *  # noqa: F403

# Hashing is slow on purpose, and no test is about its strength.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# Templates name static files without a manifest: `collectstatic` isn't part of a test run.
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

# … and they are served from where they lie, as while developing.
WHITENOISE_AUTOREFRESH = True
WHITENOISE_USE_FINDERS = True
