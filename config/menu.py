"""The menu of the admin: what one works with first; all else is on its first page."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.http import HttpRequest
from django.urls import reverse_lazy

# By heading: a model as `app.model`, what it is called, its icon (Material Symbols).
_ENTRIES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "Work": (
        ("boards.board", "Boards", "view_kanban"),
        ("boards.task", "Tasks", "task_alt"),
        ("boards.approval", "Approvals", "approval"),
        ("boards.memoryentry", "Memory", "psychology"),
        ("boards.onboardingsession", "Onboarding", "waving_hand"),
        ("boards.tag", "Tags", "label"),
        ("boards.customfield", "Custom fields", "edit_note"),
        ("boards.webhook", "Webhooks", "webhook"),
        ("boards.nudgeschedule", "Schedules of nudges", "schedule"),
    ),
    "Agents": (
        ("agents.agent", "Agents", "smart_toy"),
        ("agents.message", "Messages", "mail"),
        ("agents.gateway", "Gateways", "router"),
        ("agents.agenttoken", "Agent tokens", "key"),
    ),
    "Executions": (
        ("executions.execution", "Executions", "play_circle"),
        ("executions.toolcall", "Tool calls", "build"),
        ("executions.merge", "Merges", "merge"),
        ("executions.job", "Jobs", "work_history"),
        ("executions.signal", "Signals", "bolt"),
        ("executions.worker", "Workers", "memory"),
    ),
    "Organization": (
        ("agents.organization", "Organizations", "domain"),
        ("agents.membership", "Members", "group"),
        ("agents.integrationkey", "Integration keys", "vpn_key"),
        ("agents.user", "Users", "person"),
        ("agents.webhookendpoint", "Webhook endpoints", "outbound"),
        ("agents.delivery", "Deliveries", "send"),
        ("agents.activity", "Activity", "history"),
    ),
}


def menu() -> list[dict[str, Any]]:
    """The menu as unfold takes it; each sees the entries of what they may see."""
    return [
        {
            "title": heading,
            "separator": number > 0,
            "items": [_item(*entry) for entry in entries],
        }
        for number, (heading, entries) in enumerate(_ENTRIES.items())
    ]


def _item(model: str, title: str, icon: str) -> dict[str, Any]:
    app, name = model.split(".")
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{name}_changelist"),
        "permission": partial(_may_see, f"{app}.view_{name}"),
    }


def _may_see(permission: str, request: HttpRequest) -> bool:
    return bool(request.user.has_perm(permission))
