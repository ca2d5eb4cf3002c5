"""The operators' endpoints of outgoing webhooks: where to, what was delivered, and once more."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response

from agents import actions
from agents.collections import ByActor, Fields, Versioned, created
from agents.endpoint_serializers import (
    DeliverySerializer,
    DeliveryWithTriesSerializer,
    EndpointSerializer,
    EndpointWithSecretSerializer,
    RedeliveredSerializer,
    RedeliverFailedSerializer,
)
from agents.filters import Filters, Words, YesOrNo
from agents.models import Delivery, DeliveryState, Role, WebhookEndpoint
from agents.rest.idempotency import IdempotentMixin
from agents.rest.permissions import TenantMixin
from agents.views.roles import CHANGES

ENDPOINT_ID = OpenApiParameter("endpoint_id", OpenApiTypes.UUID, OpenApiParameter.PATH)


class EndpointFilter(Filters):
    """Which endpoints."""

    is_enabled = YesOrNo()

    class Meta:
        model = WebhookEndpoint
        fields: list[str] = []


@extend_schema_view(
    list=extend_schema(summary="List webhook endpoints"),
    create=extend_schema(
        summary="Create a webhook endpoint; its secret is shown this once",
        description="It is told of lines of the permanent record that are written from now on.",
        responses={201: EndpointWithSecretSerializer},
    ),
    retrieve=extend_schema(summary="Read a webhook endpoint"),
    partial_update=extend_schema(
        summary="Change a webhook endpoint, or switch it on or off",
        description="Switched on again it goes on where it stopped, up to 30 days back.",
    ),
    destroy=extend_schema(summary="Delete a webhook endpoint with its deliveries"),
)
class EndpointViewSet(Versioned[WebhookEndpoint]):
    queryset = WebhookEndpoint.objects.all()
    serializer_class = EndpointSerializer
    filterset_class = EndpointFilter
    required_role = dict.fromkeys(CHANGES, Role.ADMIN)
    lookup_url_kwarg = "endpoint_id"
    secret_fields = ("secret",)

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        asked = self.get_serializer(data=request.data)
        asked.is_valid(raise_exception=True)
        made = actions.create_endpoint(self.organization, asked.validated_data, by=self.actor)
        return created(request, _with_secret(made))

    def change(self, found: WebhookEndpoint, fields: Fields) -> WebhookEndpoint:
        return actions.change_endpoint(found, fields, by=self.actor)

    def perform_destroy(self, instance: WebhookEndpoint) -> None:
        actions.delete_endpoint(instance, by=self.actor)

    @extend_schema(
        summary="Change the secret of a webhook endpoint",
        description="The old secret signs too for 24 hours. The new one is shown this once.",
        request=None,
        responses=EndpointWithSecretSerializer,
    )
    @action(detail=True, methods=["post"], url_path="rotate-secret")
    def rotate_secret(self, request: Request, **kwargs: Any) -> Response:
        return Response(
            _with_secret(actions.rotate_endpoint_secret(self.get_object(), by=self.actor))
        )

    @extend_schema(
        summary="Send a ping to a webhook endpoint",
        description="A delivery of the type `ping`, in its turn. What is pending is tried at once.",
        request=None,
        responses={202: DeliverySerializer},
    )
    @action(detail=True, methods=["post"])
    def ping(self, request: Request, **kwargs: Any) -> Response:
        return _accepted(actions.ping(self.get_object(), by=self.actor))

    @extend_schema(
        summary="Send again what was given up",
        description="Up to 10,000 at a time, the oldest first; they go before what is newer.",
        request=RedeliverFailedSerializer,
        responses={202: RedeliveredSerializer},
    )
    @action(detail=True, methods=["post"], url_path="redeliver-failed")
    def redeliver_failed(self, request: Request, **kwargs: Any) -> Response:
        endpoint = self.get_object()
        asked = RedeliverFailedSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        since = asked.validated_data.get("since")
        count = actions.redeliver_failed(endpoint, since, by=self.actor)
        return Response({"redelivered": count}, status=status.HTTP_202_ACCEPTED)


class DeliveryFilter(Filters):
    """Which deliveries."""

    state = Words(choices=DeliveryState.choices)
    type = filters.CharFilter(max_length=60)

    class Meta:
        model = Delivery
        fields: list[str] = []


@extend_schema_view(
    list=extend_schema(summary="List the deliveries of a webhook endpoint, newest first"),
    retrieve=extend_schema(
        summary="Read a delivery with its tries", responses=DeliveryWithTriesSerializer
    ),
)
@extend_schema(parameters=[ENDPOINT_ID])
class DeliveryViewSet(  # type: ignore[misc]  # Mixins name DRF's request, the view's stub Django's.
    TenantMixin,
    IdempotentMixin,
    ByActor,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    viewsets.GenericViewSet[Delivery],
):
    queryset = Delivery.objects.select_related("endpoint")
    filterset_class = DeliveryFilter
    tenant_path = "endpoint__organization"
    required_role = dict.fromkeys(CHANGES, Role.ADMIN)
    lookup_url_kwarg = "delivery_id"

    def get_serializer_class(self) -> type[DeliverySerializer]:
        is_one = self.action == "retrieve"
        return DeliveryWithTriesSerializer if is_one else DeliverySerializer

    def get_queryset(self) -> QuerySet[Delivery]:
        rows: QuerySet[Delivery] = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return rows
        own = WebhookEndpoint.objects.filter(organization=self.organization)
        # Without the organization beside it, which would lead past the index.
        endpoint = get_object_or_404(own, pk=self.kwargs["endpoint_id"])
        return Delivery.objects.select_related("endpoint").filter(endpoint=endpoint)

    def get_object(self) -> Delivery:
        rows = self.filter_queryset(self.get_queryset())
        return get_object_or_404(rows, pk=self.kwargs["delivery_id"])

    @extend_schema(
        summary="Deliver it again",
        description="With the same `webhook-id`, and before what is newer.",
        request=None,
        responses={202: DeliverySerializer},
    )
    @action(detail=True, methods=["post"])
    def redeliver(self, request: Request, **kwargs: Any) -> Response:
        return _accepted(actions.redeliver(self.get_object(), by=self.actor))

    @extend_schema(
        summary="Give a delivery up, which holds up what is newer",
        request=None,
        responses=DeliverySerializer,
    )
    @action(detail=True, methods=["post"], url_path="give-up")
    def give_up(self, request: Request, **kwargs: Any) -> Response:
        return Response(DeliverySerializer(actions.give_up(self.get_object(), by=self.actor)).data)


def _accepted(delivery: Delivery) -> Response:
    return Response(DeliverySerializer(delivery).data, status=status.HTTP_202_ACCEPTED)


def _with_secret(endpoint: WebhookEndpoint) -> dict[str, Any]:
    return dict(EndpointWithSecretSerializer(endpoint).data)
