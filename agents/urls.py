"""Addresses of this app, below `/api/v0/`."""

from rest_framework.routers import SimpleRouter

from agents.views.activity import ActivityViewSet
from agents.views.agents import AgentViewSet
from agents.views.gateways import GatewayViewSet
from agents.views.organizations import KeyViewSet, MemberViewSet, OrganizationViewSet

_OF_ORGANIZATION = r"organizations/(?P<organization_id>[^/.]+)"

router = SimpleRouter(trailing_slash=False)
router.register("organizations", OrganizationViewSet, basename="organization")
router.register(rf"{_OF_ORGANIZATION}/members", MemberViewSet, basename="member")
router.register(rf"{_OF_ORGANIZATION}/keys", KeyViewSet, basename="key")
router.register("agents", AgentViewSet, basename="agent")
router.register("gateways", GatewayViewSet, basename="gateway")
router.register("activity", ActivityViewSet, basename="activity")

urlpatterns = router.urls
