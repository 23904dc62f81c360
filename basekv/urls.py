"""Every path: the API under /api/, the console under /admin/."""

from django.contrib import admin
from django.urls import include, path, re_path
from django.views.decorators.http import require_safe
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView

from basekv import metrics
from basekv.api import errors

urlpatterns = [
    path("", RedirectView.as_view(url="/api/docs/")),
    path("admin/", include("accounts.urls")),
    path("admin/", admin.site.urls),
    path("metrics", metrics.show),
    path("openapi.json", SpectacularJSONAPIView.as_view(), name="openapi"),
    path("api/docs/", require_safe(SpectacularSwaggerSplitView.as_view(url_name="openapi")), name="docs"),
    path("api/docs", RedirectView.as_view(url="/api/docs/")),
    path("api/v1/", include("basekv.api.urls")),
    re_path(r"^api/", errors.unknown_path),
]

handler400 = "basekv.api.errors.bad_request"
handler403 = "basekv.console.errors.forbidden"
handler404 = "basekv.console.errors.not_found"
handler500 = "basekv.console.errors.server_error"
