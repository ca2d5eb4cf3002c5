"""Addresses of this app, below `/api/v0/`; those of one agent come before the agents' own."""

from typing import Any

from django.urls import include, path

from agents.rest.plain_views import by_method
from executions import direct, views
from executions.agent_api import RemovalViewSet

_ONE = "executions/agents/<uuid:exec_id>"
_CONTROLS = ("cancel", "pause", "resume", "extend", "finish")
_LIST: dict[str, Any] = {"get": "list"}

# Typed as what `path` takes; Django calls both kinds.
_of_agent: Any = by_method(
    get=views.AgentExecutionViewSet.as_view(_LIST), post=direct.start_and_wait
)
_of_agent_async: Any = by_method(post=direct.start_and_leave)

urlpatterns = [
    path("dispatch/", include("executions.remote.urls")),
    path(
        "agent/boards/<uuid:board_id>/agents/<uuid:agent_id>",
        RemovalViewSet.as_view({"delete": "destroy"}),
        name="agent-removal",
    ),
    path(
        "agents/<str:agent_id>/executions",
        _of_agent,
        name="agent-executions",
    ),
    path(
        "agents/<str:agent_id>/executions/async",
        _of_agent_async,
        name="agent-executions-async",
    ),
    path("executions/agents", views.ExecutionViewSet.as_view(_LIST), name="executions"),
    path(
        _ONE,
        views.ExecutionViewSet.as_view({"get": "retrieve", "delete": "destroy"}),
        name="execution",
    ),
    *(
        path(
            f"{_ONE}/{control}",
            views.ExecutionViewSet.as_view({"post": control}),
            name=f"execution-{control}",
        )
        for control in _CONTROLS
    ),
    path(f"{_ONE}/diff", views.ExecutionViewSet.as_view({"get": "diff"}), name="execution-diff"),
    path(f"{_ONE}/events", views.EventViewSet.as_view(_LIST), name="execution-events"),
    path(f"{_ONE}/entries", views.EntryViewSet.as_view(_LIST), name="execution-entries"),
    path(
        f"{_ONE}/checkpoints",
        views.CheckpointViewSet.as_view(_LIST),
        name="execution-checkpoints",
    ),
    path(f"{_ONE}/tool-calls", views.ToolCallViewSet.as_view(_LIST), name="execution-tool-calls"),
]
