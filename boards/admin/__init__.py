"""The operators' view of boards and what is on them; Django finds the pages here."""

from boards.admin import (
    approvals,
    boards,
    labels,
    memory,
    of_tasks,
    onboarding,
    schedules,
    tasks,
    webhooks,
)

__all__ = [
    "approvals",
    "boards",
    "labels",
    "memory",
    "of_tasks",
    "onboarding",
    "schedules",
    "tasks",
    "webhooks",
]
