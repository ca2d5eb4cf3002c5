"""Shapes of what is answered about executions; `documents` makes the answers."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from agents.runtime.tools.todo import STATUSES
from boards.models import MergeStrategy
from boards.serializers.tasks import RejectionsSerializer
from executions import documents
from executions.models import Condition, MergeStatus, PauseReason, Status, WaitMode
from executions.review import shown

_EXAMPLE_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
_USAGE = {"requests": 3, "input_tokens": 4120, "output_tokens": 310, "cached_tokens": 2048}
_BY_MODEL = [{"model": "claude-sonnet-4-5", **_USAGE}]


class Nested(serializers.Serializer[Any]):
    """A part of an answer; parts that may be left out are `required=False`."""


class ModelUsageSerializer(Nested):
    """What one model was asked for."""

    model = serializers.CharField()
    requests = serializers.IntegerField()
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField()


class UsageSerializer(Nested):
    """What model requests cost, in all and by model."""

    requests = serializers.IntegerField()
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField()
    by_model = ModelUsageSerializer(many=True)


class FailureSerializer(Nested):
    """How an execution failed; `code` is stable."""

    code = serializers.CharField()
    message = serializers.CharField()
    details = serializers.DictField()


class QueuePlaceSerializer(Nested):
    """Its place in the queue of its board; `blocked_by` is a full limit or what is paused."""

    position = serializers.IntegerField(min_value=1)
    estimated_wait_seconds = serializers.IntegerField(min_value=0, allow_null=True)
    blocked_by = serializers.CharField(allow_null=True)


class ConditionSerializer(Nested):
    """One thing that is waited for: a signal by `name`, or what is to end or be decided."""

    kind = serializers.ChoiceField(choices=Condition.Kind.choices)
    name = serializers.CharField(allow_null=True)
    target = serializers.UUIDField(allow_null=True)
    reason = serializers.CharField(allow_blank=True)
    due_at = serializers.DateTimeField(allow_null=True)
    met = serializers.BooleanField()


class WaitSerializer(Nested):
    """What a waiting execution waits for: `any` of it, or `all`."""

    mode = serializers.ChoiceField(choices=WaitMode.choices)
    conditions = ConditionSerializer(many=True)


class LinksSerializer(Nested):
    """Where more is read, and from `cancel` on, where more is asked (POST)."""

    self = serializers.CharField()
    events = serializers.CharField()
    entries = serializers.CharField()
    checkpoints = serializers.CharField()
    tool_calls = serializers.CharField()
    jobs = serializers.CharField()
    signals = serializers.CharField()
    children = serializers.CharField()
    diff = serializers.CharField()
    explain = serializers.CharField()
    stream = serializers.CharField()
    cancel = serializers.CharField()
    pause = serializers.CharField()
    resume = serializers.CharField()
    extend = serializers.CharField()
    finish = serializers.CharField()
    retry = serializers.CharField()
    fork = serializers.CharField()
    approve = serializers.CharField()
    reject = serializers.CharField()
    agent = serializers.CharField(required=False)


_LINKS = {
    "self": f"{documents.EXECUTIONS}/{_EXAMPLE_ID}",
    **{
        name: f"{documents.EXECUTIONS}/{_EXAMPLE_ID}/{path}"
        for name, path in documents.SUBJECTS.items()
    },
    **{name: f"{documents.EXECUTIONS}/{_EXAMPLE_ID}/{name}" for name in documents.CONTROLS},
}
_DOCUMENT = {
    "exec_id": _EXAMPLE_ID,
    "agent": "01890a5d-0000-774b-bcce-b302099a8057",
    "board": None,
    "task": None,
    "kind": "react",
    "status": "completed",
    "input": {"prompt": "Why does the test fail?"},
    "output": "The greeting is misspelt; it is corrected.",
    "turn": 3,
    "max_turns": 50,
    "token_budget": None,
    "seconds_budget": None,
    "usage": {**_USAGE, "by_model": _BY_MODEL},
    "recoveries": 0,
    "priority": 3,
    "created_at": "2026-01-05T09:00:00Z",
    "queued_at": "2026-01-05T09:00:00Z",
    "started_at": "2026-01-05T09:00:01Z",
    "finished_at": "2026-01-05T09:00:19Z",
    "duration_ms": 18000,
    "deadline_at": None,
    "links": _LINKS,
}


class MergeProblemSerializer(Nested):
    """What refused a merge, as its answer did, or the reading of what was changed."""

    code = serializers.CharField()
    detail = serializers.CharField()
    facts = serializers.DictField()


class MergeSerializer(Nested):
    """The newest merge of an execution's work; `sha` is what the branch points at since."""

    status = serializers.ChoiceField(choices=MergeStatus.choices)
    strategy = serializers.ChoiceField(choices=MergeStrategy.choices)
    target = serializers.CharField()
    sha = serializers.CharField(allow_null=True)
    problem = MergeProblemSerializer(allow_null=True)


class ReviewSerializer(Nested):
    """How a decision on its work stands; `approval` is null where nothing is to be merged.

    `problem` says why it was handed in without what it changed, which cannot be merged.
    """

    status = serializers.ChoiceField(choices=shown.STATUSES)
    approval = serializers.UUIDField(allow_null=True)
    merge = MergeSerializer(required=False)
    problem = MergeProblemSerializer(required=False)


class FamilyUsageSerializer(Nested):
    """What the children of an execution, and theirs, have used so far."""

    executions = serializers.IntegerField()
    requests = serializers.IntegerField()
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField()


class TodoSerializer(Nested):
    """One item of what an agent has written down to do."""

    content = serializers.CharField()
    status = serializers.ChoiceField(choices=STATUSES)
    activeForm = serializers.CharField(required=False)  # noqa: N815  The word of the tool.
    priority = serializers.ChoiceField(choices=["high", "medium", "low"], required=False)


class ListedExecutionSerializer(Nested):
    """An execution as lists show it: without its output and its place in the queue."""

    exec_id = serializers.UUIDField()
    agent = serializers.UUIDField(allow_null=True)
    board = serializers.UUIDField(allow_null=True)
    task = serializers.UUIDField(allow_null=True)
    kind = serializers.CharField()
    status = serializers.ChoiceField(choices=Status.choices)
    wait = WaitSerializer(required=False)
    pause_reason = serializers.ChoiceField(choices=PauseReason.choices, required=False)
    code = serializers.CharField(required=False, help_text="Of one that stands at a limit.")
    input = serializers.DictField()
    failure = FailureSerializer(required=False)
    turn = serializers.IntegerField()
    max_turns = serializers.IntegerField()
    token_budget = serializers.IntegerField(allow_null=True)
    seconds_budget = serializers.IntegerField(allow_null=True)
    usage = UsageSerializer()
    recoveries = serializers.IntegerField()
    priority = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    queued_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    duration_ms = serializers.IntegerField(allow_null=True)
    deadline_at = serializers.DateTimeField(allow_null=True)
    parent = serializers.UUIDField(required=False)  # type: ignore[assignment]  # A field, where DRF has an attribute.
    retry_of = serializers.UUIDField(required=False)
    forked_from = serializers.UUIDField(required=False)
    links = LinksSerializer()

    def to_representation(self, instance: Any) -> dict[str, Any]:
        return documents.listed(instance)


@extend_schema_serializer(
    examples=[OpenApiExample("completed", value=_DOCUMENT, response_only=True)]
)
class ExecutionSerializer(ListedExecutionSerializer):
    """The status document."""

    queue = QueuePlaceSerializer(required=False)
    output = serializers.JSONField(required=False)
    usage_of_children = FamilyUsageSerializer(required=False)
    todos = TodoSerializer(
        many=True, required=False, help_text="The list that the agent keeps with TodoWrite."
    )
    review = ReviewSerializer(required=False)
    rejections = RejectionsSerializer(required=False)

    def to_representation(self, instance: Any) -> dict[str, Any]:
        return documents.document(instance)


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "accepted",
            value={
                "exec_id": _EXAMPLE_ID,
                "exec_url": f"{documents.EXECUTIONS}/{_EXAMPLE_ID}",
                "status": "queued",
                "queue": {"position": 2, "estimated_wait_seconds": 40, "blocked_by": "board"},
            },
            response_only=True,
        )
    ]
)
class AcceptedSerializer(Nested):
    """An execution that goes on by itself."""

    exec_id = serializers.UUIDField()
    exec_url = serializers.CharField()
    status = serializers.ChoiceField(choices=Status.choices)
    queue = QueuePlaceSerializer(required=False)


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "completed",
            value={
                "exec_id": _EXAMPLE_ID,
                "output": "The greeting is misspelt; it is corrected.",
                "status": "completed",
                "usage": {**_USAGE, "by_model": _BY_MODEL},
            },
            response_only=True,
        ),
        OpenApiExample(
            "failed",
            value={
                "exec_id": _EXAMPLE_ID,
                "output": None,
                "status": "failed",
                "usage": {**_USAGE, "by_model": _BY_MODEL},
                "failure": {
                    "code": "MODEL_ERROR",
                    "message": "The provider refused the request.",
                    "details": {},
                },
            },
            response_only=True,
        ),
    ]
)
class ResultSerializer(Nested):
    """What came of an execution that was waited for."""

    exec_id = serializers.UUIDField()
    output = serializers.JSONField(help_text="Null where there is none.")
    status = serializers.ChoiceField(choices=Status.choices)
    usage = UsageSerializer()
    failure = FailureSerializer(required=False)
    pause_reason = serializers.ChoiceField(choices=PauseReason.choices, required=False)
    code = serializers.CharField(required=False, help_text="Of one that stands at a limit.")
    cancel_reason = serializers.CharField(required=False, allow_blank=True)


class ChangedFileSerializer(Nested):
    """One file of a diff."""

    path = serializers.CharField()
    old_path = serializers.CharField(allow_blank=True)
    status = serializers.CharField()
    additions = serializers.IntegerField()
    deletions = serializers.IntegerField()
    binary = serializers.BooleanField()


class DiffStatSerializer(Nested):
    """How much was changed in all."""

    files = serializers.IntegerField()
    additions = serializers.IntegerField()
    deletions = serializers.IntegerField()


class DiffSerializer(Nested):
    """What an execution changed; `cut` says that `patch` or `files` does not show all of it."""

    exec_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=Status.choices)
    branch = serializers.CharField(required=False)
    base = serializers.CharField(required=False)
    commit = serializers.CharField(required=False)
    stat = DiffStatSerializer()
    files = ChangedFileSerializer(many=True)
    patch = serializers.CharField(allow_blank=True)
    cut = serializers.BooleanField()
