"""The operators' endpoints of tasks."""

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_view

from agents.collections import Fields, Versioned
from agents.filters import Filters
from boards import actions
from boards.models import Task, TaskStatus
from boards.serializers.tasks import TaskSerializer
from boards.views.below import BOARD_ID, BOARDS_CHANGES, OnBoard


class TaskFilter(Filters):
    """Which tasks of a board."""

    status = filters.ChoiceFilter(choices=TaskStatus.choices)
    assigned_agent = filters.UUIDFilter(field_name="assigned_agent_id")

    class Meta:
        model = Task
        fields: list[str] = []


@extend_schema_view(
    list=extend_schema(summary="List the tasks of a board"),
    create=extend_schema(summary="Create a task"),
    retrieve=extend_schema(summary="Read a task"),
    partial_update=extend_schema(summary="Change a task"),
    destroy=extend_schema(summary="Delete a task"),
)
@extend_schema(parameters=[BOARD_ID])
class TaskViewSet(OnBoard, Versioned[Task]):  # type: ignore[misc]  # As in Collection.
    queryset = Task.objects.all()
    serializer_class = TaskSerializer
    filterset_class = TaskFilter
    required_scope = BOARDS_CHANGES
    tenant_path = "board__organization"
    lookup_url_kwarg = "task_id"

    def add(self, fields: Fields) -> Task:
        return actions.create_task(self.board, fields, by=self.actor)

    def change(self, found: Task, fields: Fields) -> Task:
        return actions.change_task(found, fields, by=self.actor)

    def perform_destroy(self, instance: Task) -> None:
        actions.delete_task(instance, by=self.actor)
