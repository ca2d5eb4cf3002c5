"""Addresses of this app, below `/api/v0/`."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from agents.views.activity import ActivityViewSet
from agents.views.agents import AgentViewSet
from agents.views.endpoints import DeliveryViewSet, EndpointViewSet
from agents.views.gateways import GatewayViewSet
from agents.views.kinds import KindsView
from agents.views.organizations import KeyViewSet, MemberViewSet, OrganizationViewSet
from agents.views.streams import stream_of_agent, stream_of_organization

_OF_ORGANIZATION = r"organizations/(?P<organization_id>[^/.]+)"

router = SimpleRouter(trailing_slash=False)
router.register("organizations", OrganizationViewSet, basename="organization")
router.register(rf"{_OF_ORGANIZATION}/members", MemberViewSet, basename="member")
router.register(rf"{_OF_ORGANIZATION}/keys", KeyViewSet, basename="key")
router.register("agents", AgentViewSet, basename="agent")
router.register("gateways", GatewayViewSet, basename="gateway")
router.register("webhook-endpoints", EndpointViewSet, basename="webhook-endpoint")
router.register(
    r"webhook-endpoints/(?P<endpoint_id>[^/.]+)/deliveries", DeliveryViewSet, basename="delivery"
)
router.register("activity", ActivityViewSet, basename="activity")

urlpatterns = [
    path("agent-kinds", KindsView.as_view()),
    path("stream", stream_of_organization),
    path("agents/<str:agent_id>/stream", stream_of_agent),
    *router.urls,
]
