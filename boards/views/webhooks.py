"""The operators' endpoints of incoming webhooks and what they brought."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response

from agents.collections import ByActor, Fields, Versioned, created
from agents.filters import Filters, YesOrNo
from agents.models import Role
from agents.rest.idempotency import IdempotentMixin
from agents.rest.pagination import NewestFirst
from agents.rest.permissions import TenantMixin
from agents.views.roles import CHANGES
from boards.actions import payloads, webhooks
from boards.models import PayloadState, Webhook, WebhookPayload
from boards.serializers.webhooks import (
    NewWebhookSerializer,
    RotationSerializer,
    WebhookPayloadSerializer,
    WebhookSerializer,
    WebhookWithSecretSerializer,
    WholePayloadSerializer,
)
from boards.views.below import BOARD_ID, BOARDS_CHANGES, OnBoard

WEBHOOK_ID = OpenApiParameter("webhook_id", OpenApiTypes.UUID, OpenApiParameter.PATH)


class WebhookFilter(Filters):
    """Which webhooks."""

    is_enabled = YesOrNo()

    class Meta:
        model = Webhook
        fields: list[str] = []


@extend_schema_view(
    list=extend_schema(summary="List the incoming webhooks of a board"),
    create=extend_schema(
        summary="Create an incoming webhook",
        description="`secret` of the answer is shown this once, and not in a replayed answer.",
        request=NewWebhookSerializer,
        responses={201: WebhookWithSecretSerializer},
    ),
    retrieve=extend_schema(summary="Read an incoming webhook"),
    partial_update=extend_schema(summary="Change an incoming webhook, or switch it on or off"),
    destroy=extend_schema(summary="Delete an incoming webhook with what it brought"),
)
@extend_schema(parameters=[BOARD_ID])
class WebhookViewSet(OnBoard, Versioned[Webhook]):  # type: ignore[misc]  # As in Collection.
    queryset = Webhook.objects.select_related("board")
    serializer_class = WebhookSerializer
    filterset_class = WebhookFilter
    required_role = dict.fromkeys(CHANGES, Role.ADMIN)
    required_scope = BOARDS_CHANGES
    tenant_path = "board__organization"
    lookup_url_kwarg = "webhook_id"
    secret_fields = ("secret",)

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        asked = NewWebhookSerializer(data=request.data, context=self.get_serializer_context())
        asked.is_valid(raise_exception=True)
        fields = dict(asked.validated_data)
        terms = {"secret": fields.pop("secret", ""), "is_signed": fields.pop("is_signed")}
        made = webhooks.create_webhook(self.board, fields, by=self.actor, **terms)
        return created(request, self._with_secret(made))

    def change(self, found: Webhook, fields: Fields) -> Webhook:
        return webhooks.change_webhook(found, fields, by=self.actor)

    def perform_destroy(self, instance: Webhook) -> None:
        webhooks.delete_webhook(instance, by=self.actor)

    @extend_schema(
        summary="Change the secret of an incoming webhook",
        description="The old secret is good for 24 hours too, unless `keep_old` is false. A "
        "webhook that had none asks for signatures from now on.",
        request=RotationSerializer,
        responses=WebhookWithSecretSerializer,
    )
    @action(detail=True, methods=["post"], url_path="rotate-secret")
    def rotate_secret(self, request: Request, **kwargs: Any) -> Response:
        found = self.get_object()
        asked = RotationSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given, keeps = asked.validated_data.get("secret", ""), asked.validated_data["keep_old"]
        rotated = webhooks.rotate_webhook_secret(
            found, by=self.actor, secret=given, keeps_old=keeps
        )
        return Response(self._with_secret(rotated))

    def _with_secret(self, webhook: Webhook) -> dict[str, Any]:
        secret = {"secret": webhook.secret} if webhook.secret else {}
        return {**self.get_serializer(webhook).data, **secret}


class PayloadFilter(Filters):
    """Which payloads, by what became of them."""

    state = filters.ChoiceFilter(choices=PayloadState.choices)

    class Meta:
        model = WebhookPayload
        fields: list[str] = []


class NewestOfWebhook(NewestFirst):
    """Pages of what one webhook brought, newest first."""

    within = "webhook_id"


@extend_schema_view(
    list=extend_schema(summary="List what a webhook brought"),
    retrieve=extend_schema(
        summary="Read what a webhook brought, whole", responses=WholePayloadSerializer
    ),
)
@extend_schema(parameters=[BOARD_ID, WEBHOOK_ID])
class PayloadViewSet(  # type: ignore[misc]  # As in Collection.
    OnBoard,
    TenantMixin,
    IdempotentMixin,
    ByActor,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    viewsets.GenericViewSet[WebhookPayload],
):
    queryset = WebhookPayload.objects.all()
    serializer_class = WebhookPayloadSerializer
    required_scope = BOARDS_CHANGES
    tenant_path = "webhook__board__organization"
    pagination_class = NewestOfWebhook
    filterset_class = PayloadFilter
    lookup_url_kwarg = "payload_id"

    def get_queryset(self) -> QuerySet[Any]:
        rows = WebhookPayload.objects.all()
        if getattr(self, "swagger_fake_view", False):
            return rows
        webhook = get_object_or_404(
            Webhook.objects.filter(board=self.board).only("id"), pk=self.kwargs["webhook_id"]
        )
        found = rows.filter(webhook__alike=webhook.id)
        return found if self.action == "retrieve" else found.defer("body")

    def get_serializer_class(self) -> Any:
        return WholePayloadSerializer if self.action == "retrieve" else WebhookPayloadSerializer

    def get_object(self) -> WebhookPayload:
        found: WebhookPayload = get_object_or_404(self.get_queryset(), pk=self.kwargs["payload_id"])
        return found

    @extend_schema(
        summary="Start what a payload asks for, which did not start by itself",
        description="409 `PAYLOAD_STARTED` with `execution_id` where it did; to do the work "
        "again, retry that one.",
        request=None,
        responses=WebhookPayloadSerializer,
    )
    @action(detail=True, methods=["post"])
    def start(self, request: Request, **kwargs: Any) -> Response:
        started = payloads.start_payload(self.get_object(), by=self.actor)
        return Response(self.get_serializer(started).data)
