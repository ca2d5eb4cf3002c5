"""The map of addresses."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from agents.rest.throttle import AddressThrottle
from executions.health import healthz, readyz

_PUBLIC = {
    "authentication_classes": (),
    "permission_classes": (),
    "throttle_classes": (AddressThrottle,),
}

api: list[URLPattern | URLResolver] = [
    # Starting an agent is of `executions`, though its address lies below that of the agent.
    path("", include("executions.urls")),
    path("", include("agents.urls")),
    path("", include("boards.urls")),
    path("agent/", include("boards.agent_api.urls")),
    path("schema/", SpectacularAPIView.as_view(**_PUBLIC), name="schema"),
    path("docs/", SpectacularSwaggerView.as_view(url_name="schema", **_PUBLIC), name="docs"),
]

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("api/v0/", include(api)),
]
