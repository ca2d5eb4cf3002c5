"""Views that exist only to be asked: what every REST view shares, with nothing else in the way."""

import asyncio
import uuid

from asgiref.sync import sync_to_async
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django_filters import rest_framework as filters
from drf_spectacular.views import SpectacularAPIView
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from agents.models import Agent, LiveWork, Role, Scope
from agents.rest import idempotency
from agents.rest.authentication import authenticate, caller_of
from agents.rest.etag import EtagMixin
from agents.rest.idempotency import IdempotentMixin
from agents.rest.parsers import read_json
from agents.rest.permissions import TenantMixin, check_may
from agents.rest.plain_views import Operation, by_method, documented
from agents.rest.waiting import leave_thread


class AgentSerializer(serializers.ModelSerializer):
    class Meta:
        model = Agent
        fields = ["id", "name", "slug", "max_turns", "updated_at"]


class AgentFilters(filters.FilterSet):
    name = filters.CharFilter()
    kind = filters.ChoiceFilter(choices=[("react", "react"), ("remote", "remote")])
    created = filters.IsoDateTimeFromToRangeFilter(field_name="created_at")

    class Meta:
        model = Agent
        fields: list[str] = []


class Agents(IdempotentMixin, EtagMixin, TenantMixin, viewsets.ModelViewSet):
    """Agents of one organization. The rest of this text is not in the summary."""

    queryset = Agent.objects.all()
    serializer_class = AgentSerializer
    filterset_class = AgentFilters
    query_parameters = {"echo": ("verbose",)}
    required_scope = {"POST": Scope.BOARDS, "PATCH": Scope.BOARDS}
    required_role = {"destroy": Role.ADMIN}
    secret_fields = ("token",)

    def create(self, request: Request) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        agent = serializer.save(organization=self.organization)
        if agent.name == "fail":
            raise RuntimeError("the secret inside")
        if agent.name == "refuse":
            return Response({"detail": "no"}, status=status.HTTP_409_CONFLICT)
        return Response(
            {**serializer.data, "token": "shown once"},
            status=status.HTTP_201_CREATED,
            headers={"Location": f"/api/v0/agents/{agent.pk}"},
        )

    @action(detail=True)
    def echo(self, request: Request, pk: str) -> Response:
        return Response({"name": self.get_object().name})


class Nested(serializers.Serializer):
    steps = serializers.ListField(child=serializers.IntegerField(min_value=1), max_length=3)
    title = serializers.CharField()


class Form(serializers.Serializer):
    name = serializers.CharField()
    parts = Nested(many=True)
    extra = serializers.JSONField(required=False)


class Echo(APIView):
    """Validate a body and give it back."""

    required_scope = Scope.RUN

    def get(self, request: Request) -> Response:
        caller = caller_of(request)
        return Response(
            {
                "kind": caller.kind,
                "name": caller.name,
                "organization": caller.organization and caller.organization.slug,
                "user": str(request.user),
            }
        )

    def post(self, request: Request) -> Response:
        form = Form(data=request.data)
        form.is_valid(raise_exception=True)
        return Response(form.validated_data)


class Anywhere(Echo):
    """An endpoint that needs no organization."""

    organization_optional = True


class Public(APIView):
    """An endpoint for everybody."""

    authentication_classes = ()
    permission_classes = ()

    def get(self, request: Request) -> Response:
        return Response({"ok": True})


class Broken(mixins.ListModelMixin, viewsets.GenericViewSet):
    """An endpoint that fails as its parameter says."""

    permission_classes = ()

    def list(self, request: Request, how: str) -> Response:
        if how == "database":
            raise OperationalError("could not connect to host secret.internal")
        raise RuntimeError("password=hunter2")


class Schema(SpectacularAPIView):
    authentication_classes = ()
    permission_classes = ()


async def plain(request: HttpRequest) -> HttpResponse:
    """What a plain async view does, from the caller to the body."""
    caller = await sync_to_async(authenticate)(request)
    check_may(caller, Role.OPERATOR, Scope.RUN)
    body = read_json(request)
    return JsonResponse({"name": caller.name, "body": body})


async def broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("password=hunter2")


release: asyncio.Event | None = None


async def waiting(request: HttpRequest) -> HttpResponse:
    """Wait for `release` without a thread, then use the database again."""
    await sync_to_async(authenticate)(request)
    if request.GET.get("leave") != "no":
        await leave_thread()
    assert release is not None
    await release.wait()
    caller = await sync_to_async(authenticate)(request)
    return JsonResponse({"name": caller.name})


async def start(request: HttpRequest) -> HttpResponse:
    """Start something once; the row of live work stands for an execution."""
    caller = await sync_to_async(authenticate)(request)
    body = read_json(request)
    scope = idempotency.scope_for(caller, request, body, idempotency.key_of(request))
    found, repeated = await sync_to_async(idempotency.start_once)(scope, started)
    return JsonResponse({"exec_id": str(found), "repeated": repeated}, status=202)


def started() -> uuid.UUID:
    return LiveWork.objects.create(execution_id=uuid.uuid4()).execution_id


START = Operation(
    operation_id="agents_start",
    summary="Start something.",
    request=Form,
    responses={202: Nested, (200, "text/event-stream"): str},
    problems=(408,),
)

agents = Agents.as_view({"get": "list", "post": "create"})
one_agent = Agents.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"})
urlpatterns = [
    path("api/v0/agents", agents),
    path("api/v0/agents/<uuid:pk>", one_agent),
    path("api/v0/agents/<uuid:pk>/echo", Agents.as_view({"get": "echo"})),
    path("api/v0/echo", Echo.as_view()),
    path("api/v0/anywhere", Anywhere.as_view()),
    path("api/v0/public", Public.as_view()),
    path("api/v0/broken/<str:how>", Broken.as_view({"get": "list"})),
    path("api/v0/plain", documented(plain, post=Operation("plain", "Echo.", {200: Nested}, Form))),
    path("api/v0/plain-broken", broken),
    path("api/v0/waiting", waiting),
    path(
        "api/v0/mixed",
        by_method(get=Agents.as_view({"get": "list"}), post=documented(start, post=START)),
    ),
    path("api/v0/schema/", Schema.as_view()),
    path("page", Public.as_view()),
]
