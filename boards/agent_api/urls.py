"""Addresses of the agent API, below `/api/v0/agent/`."""

from __future__ import annotations

from typing import Any

from django.urls import path

from boards.agent_api.schema import schema_of_role
from boards.agent_api.views import boards, colleagues, decisions, live, talk, tasks

_BOARD = "boards/<uuid:board_id>"
_TASK = f"{_BOARD}/tasks/<uuid:task_id>"
_AGENT = f"{_BOARD}/agents/<uuid:agent_id>"


def _at(route: str, view: Any, **methods: str) -> Any:
    return path(route, view.as_view(methods))


urlpatterns = [
    path("openapi.json", schema_of_role, name="agent-schema"),
    _at("healthz", boards.SelfViewSet, get="health"),
    _at("heartbeat", boards.SelfViewSet, post="heartbeat"),
    _at("boards", boards.BoardViewSet, get="list"),
    _at(_BOARD, boards.BoardViewSet, get="retrieve"),
    _at(f"{_BOARD}/tags", boards.TagViewSet, get="list"),
    _at(
        f"{_BOARD}/webhooks/<uuid:webhook_id>/payloads/<uuid:payload_id>",
        boards.BoardViewSet,
        get="payload",
    ),
    _at(f"{_BOARD}/tasks", tasks.TaskViewSet, get="list", post="create"),
    _at(_TASK, tasks.TaskViewSet, patch="partial_update", delete="destroy"),
    _at(f"{_TASK}/claim", tasks.TaskViewSet, post="claim"),
    _at(f"{_TASK}/comments", tasks.CommentViewSet, get="list", post="create"),
    _at(f"{_BOARD}/memory", decisions.MemoryViewSet, get="list", post="create"),
    _at(f"{_BOARD}/approvals", decisions.ApprovalViewSet, get="list", post="create"),
    _at(f"{_BOARD}/onboarding", decisions.OnboardingViewSet, post="create"),
    _at("agents", colleagues.RosterViewSet, get="list", post="create"),
    _at(f"{_AGENT}/nudge", colleagues.NudgeViewSet, post="create"),
    _at(f"{_AGENT}/soul", colleagues.SoulViewSet, get="retrieve", put="update"),
    _at(f"{_BOARD}/gateway/main/ask-user", talk.QuestionViewSet, post="create"),
    _at("gateway/boards/<uuid:board_id>/lead/message", talk.LeadMessageViewSet, post="create"),
    _at("gateway/leads/broadcast", talk.BroadcastViewSet, post="create"),
    path("inbox", live.inbox),
    _at("inbox/<uuid:message_id>/ack", talk.InboxViewSet, post="ack"),
    path("stream", live.stream),
]
