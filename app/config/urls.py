"""Routes: pages, API, admin. core.health handles /healthz and /readyz before them."""

from django.contrib import admin
from django.urls import include, path

from core import api_docs
from core.api import api, api_urls
from flags.api import router as game
from users.api import router as session

api.add_router("", game)
api.add_router("", session)

urlpatterns = [
    path("", include("flags.urls")),
    path("accounts/", include("users.urls")),
    path("api/docs", api_docs.page, name="api_docs"),
    path("api/", api_urls()),
    path("admin/", admin.site.urls),
]
