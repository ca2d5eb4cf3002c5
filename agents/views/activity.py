"""The operators' endpoint of the permanent record."""

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, viewsets

from agents.filters import Filters
from agents.models import (
    Activity,
)
from agents.rest.permissions import TenantMixin
from agents.serializers import (
    ActivitySerializer,
)


class ActivityFilter(Filters):
    """Which lines: of one thing, or of one type."""

    agent = filters.UUIDFilter(field_name="agent_id")
    board = filters.UUIDFilter(field_name="board_id")
    task = filters.UUIDFilter(field_name="task_id")
    execution = filters.UUIDFilter(field_name="execution_id")
    type = filters.CharFilter(max_length=60)

    class Meta:
        model = Activity
        fields: list[str] = []


@extend_schema_view(list=extend_schema(summary="List the permanent record, newest first"))
class ActivityViewSet(  # type: ignore[misc]  # The mixin names DRF's request, the stub Django's.
    TenantMixin, mixins.ListModelMixin, viewsets.GenericViewSet[Activity]
):
    queryset = Activity.objects.all()
    serializer_class = ActivitySerializer
    filterset_class = ActivityFilter
