"""Addresses of this app, below `/api/v0/`; those of one agent come before the agents' own."""

from typing import Any

from django.urls import include, path

from agents.rest.plain_views import by_method
from executions import (
    direct,
    job_views,
    signal_views,
    stream_views,
    tool_decision_views,
    views,
    work_views,
)
from executions.agent_api import RemovalViewSet
from executions.review import door

_ONE = "executions/agents/<uuid:exec_id>"
_CONTROLS = ("cancel", "pause", "resume", "extend", "finish", "retry", "fork", "reject")
_LIST: dict[str, Any] = {"get": "list"}

# Typed as what `path` takes; Django calls both kinds.
_of_agent: Any = by_method(
    get=views.AgentExecutionViewSet.as_view(_LIST), post=direct.start_and_wait
)
_of_agent_async: Any = by_method(post=direct.start_and_leave)
_approve: Any = by_method(post=door.approve)
_start_agent: Any = by_method(post=work_views.start_agent)
_start_task: Any = by_method(post=work_views.start_task)

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
    path("agents/<str:agent_id>/start", _start_agent, name="agent-start"),
    *(
        path(
            f"agents/<str:agent_id>/{control}",
            work_views.AgentAtWorkViewSet.as_view({"post": control}),
            name=f"agent-{control}",
        )
        for control in ("stop", "pause", "resume")
    ),
    path("boards/<uuid:board_id>/tasks/<uuid:task_id>/start", _start_task, name="task-start"),
    *(
        path(
            f"boards/<uuid:board_id>/{what}",
            work_views.BoardWorkViewSet.as_view({"get": what}),
            name=f"board-{what}",
        )
        for what in ("capacity", "queue")
    ),
    path(
        "organizations/<str:organization_id>/capacity",
        work_views.OrganizationWorkViewSet.as_view({"get": "capacity"}),
        name="organization-capacity",
    ),
    path(
        "executions/agents",
        views.ExecutionViewSet.as_view({"get": "list", "post": "create"}),
        name="executions",
    ),
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
    path(f"{_ONE}/approve", _approve, name="execution-approve"),
    path(f"{_ONE}/diff", views.ExecutionViewSet.as_view({"get": "diff"}), name="execution-diff"),
    path(
        f"{_ONE}/explain",
        views.ExecutionViewSet.as_view({"get": "explain"}),
        name="execution-explain",
    ),
    path(f"{_ONE}/stream", stream_views.stream, name="execution-stream"),
    path(
        f"{_ONE}/stream/consolidated",
        stream_views.consolidated,
        name="execution-stream-consolidated",
    ),
    path(f"{_ONE}/events", views.EventViewSet.as_view(_LIST), name="execution-events"),
    path(f"{_ONE}/entries", views.EntryViewSet.as_view(_LIST), name="execution-entries"),
    path(
        f"{_ONE}/checkpoints",
        views.CheckpointViewSet.as_view(_LIST),
        name="execution-checkpoints",
    ),
    path(
        f"{_ONE}/checkpoints/<int:sequence>",
        views.CheckpointViewSet.as_view({"get": "retrieve"}),
        name="execution-checkpoint",
    ),
    path(f"{_ONE}/children", views.ChildViewSet.as_view(_LIST), name="execution-children"),
    path(f"{_ONE}/tool-calls", views.ToolCallViewSet.as_view(_LIST), name="execution-tool-calls"),
    path(
        f"{_ONE}/tool-calls/<uuid:call_id>/output",
        views.ToolCallViewSet.as_view({"get": "output"}),
        name="tool-call-output",
    ),
    *(
        path(
            f"{_ONE}/tool-calls/<uuid:call_id>/{decision}",
            tool_decision_views.ToolDecisionViewSet.as_view({"post": decision}),
            name=f"tool-call-{decision}",
        )
        for decision in ("approve", "reject")
    ),
    path(
        "executions/tool-calls",
        tool_decision_views.AwaitingCallViewSet.as_view(_LIST),
        name="tool-calls-awaiting",
    ),
    path(
        f"{_ONE}/signals",
        signal_views.SignalViewSet.as_view({"get": "list", "post": "create"}),
        name="execution-signals",
    ),
    path(
        f"{_ONE}/messages",
        signal_views.MessageViewSet.as_view({"post": "create"}),
        name="execution-messages",
    ),
    path(f"{_ONE}/jobs", views.ExecutionJobViewSet.as_view(_LIST), name="execution-jobs"),
    path(
        "executions/jobs/<uuid:job_id>",
        job_views.JobViewSet.as_view({"get": "retrieve"}),
        name="job",
    ),
    path(
        "executions/jobs/<uuid:job_id>/cancel",
        job_views.JobViewSet.as_view({"post": "cancel"}),
        name="job-cancel",
    ),
]
