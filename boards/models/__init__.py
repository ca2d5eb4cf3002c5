"""What should be done: boards, seats, tasks and what belongs to them."""

from boards.models.approval import Approval, ApprovalKind, ApprovalStatus, ApprovalTask
from boards.models.board import Board, MergeStrategy, Seat, SeatRole
from boards.models.labels import CustomField, CustomFieldValue, FieldType, Tag, Visibility
from boards.models.memory import (
    SEARCH_LANGUAGE,
    Interviewer,
    MemoryEntry,
    OnboardingSession,
    OnboardingStatus,
)
from boards.models.schedule import NudgeCondition, NudgeSchedule, Occurrence
from boards.models.task import Comment, Dependency, Move, Task, TaskStatus
from boards.models.webhook import PayloadState, Webhook, WebhookPayload

__all__ = [
    "SEARCH_LANGUAGE",
    "Approval",
    "ApprovalKind",
    "ApprovalStatus",
    "ApprovalTask",
    "Board",
    "Comment",
    "CustomField",
    "CustomFieldValue",
    "Dependency",
    "FieldType",
    "Interviewer",
    "MemoryEntry",
    "MergeStrategy",
    "Move",
    "NudgeCondition",
    "NudgeSchedule",
    "Occurrence",
    "OnboardingSession",
    "OnboardingStatus",
    "PayloadState",
    "Seat",
    "SeatRole",
    "Tag",
    "Task",
    "TaskStatus",
    "Visibility",
    "Webhook",
    "WebhookPayload",
]
