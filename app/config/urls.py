"""The contents page: pages, API, admin. /healthz and /readyz are answered before any of them (config.health)."""

from django.contrib import admin
from django.urls import include, path

from config.api import api_urls

urlpatterns = [
    path("", include("flags.urls")),
    path("accounts/", include("users.urls")),
    path("api/", api_urls()),
    path("admin/", admin.site.urls),
]
