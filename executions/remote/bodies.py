"""Shapes of what workers outside send."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from agents.remote import REMOTE, is_remote
from agents.runtime.facts import Role
from agents.serializers import LARGEST_INTEGER
from executions.bodies import LONGEST_DEADLINE, Request
from executions.fields import Flag, Number, Text, Whole
from executions.models import CallStatus, Condition, EntryType
from executions.signals import NAME, PATTERN

LONGEST_POLL = 30.0
_MOST_KINDS = 20
_MOST_ENTRIES = 50
_MOST_JOBS = 50
_MOST_CONDITIONS = 200
_MOST_PIECES = 200
_MOST_SIGNALS = 1000
_NAME, _PATTERN = f"^{NAME.pattern}$", f"^{PATTERN.pattern}$"
# Who speaks in an entry of a type that leaves no choice.
_SPEAKS = {
    EntryType.LLM_CALL: Role.ASSISTANT,
    EntryType.TOOL_CALL: Role.ASSISTANT,
    EntryType.TOOL_RESULT: Role.TOOL_RESULT,
}
_OUTCOMES = [
    CallStatus.COMPLETE,
    CallStatus.ERROR,
    CallStatus.DENIED,
    CallStatus.INTERRUPTED,
    CallStatus.UNKNOWN,
]
# What `ends.fail` has names of its own for.
_TAKEN_DETAILS = {"claim", "batch", "code", "message"}


def _check_kind(value: str) -> None:
    if not is_remote(value):
        raise serializers.ValidationError(f"A kind is `{REMOTE}`, or `{REMOTE}:` and a name.")


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "wait for work",
            value={"kinds": ["remote:billing"], "worker": "billing-1", "wait_seconds": 30},
            request_only=True,
        )
    ]
)
class PollSerializer(Request):
    """What a worker takes, what it calls itself, and how long it waits for something to do."""

    kinds = serializers.ListField(
        child=Text(max_length=80, validators=[_check_kind]),
        required=False,
        default=[REMOTE],
        min_length=1,
        max_length=_MOST_KINDS,
        help_text="Kinds of agents that it carries on.",
    )
    worker_queue = Text(required=False, default="executions", max_length=60)
    worker = Text(max_length=100, help_text="Its own name, one for each process.")
    wait_seconds = Number(required=False, default=0.0, min_value=0, max_value=LONGEST_POLL)


class ClaimedRequest(Request):
    """A body of a claim: `epoch` says which, as the poll answered it."""

    epoch = Whole(min_value=0, max_value=LARGEST_INTEGER)


class BeatSerializer(ClaimedRequest):
    """A sign of life."""


class ReleaseSerializer(ClaimedRequest):
    """How the worker leaves."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        # `as` is a word of Python, and cannot be declared like the others.
        choices = serializers.ChoiceField(choices=["yielded", "paused", "cancelled"])
        return {**super().get_fields(), "as": choices}


class ToolRequestSerializer(Request):
    """A tool call as the model asked for it."""

    call_id = Text(max_length=200)
    name = Text(max_length=200)
    arguments = serializers.DictField(required=False, default=dict)
    problem = Text(required=False, default="", allow_blank=True, max_length=2000)


class EntryUsageSerializer(Request):
    """What a reply cost."""

    model = Text(required=False, default="", allow_blank=True, max_length=200)
    requests = Whole(required=False, default=1, min_value=0, max_value=LARGEST_INTEGER)
    input_tokens = Whole(required=False, default=0, min_value=0, max_value=LARGEST_INTEGER)
    output_tokens = Whole(required=False, default=0, min_value=0, max_value=LARGEST_INTEGER)
    cached_tokens = Whole(required=False, default=0, min_value=0, max_value=LARGEST_INTEGER)


class NewEntrySerializer(Request):
    """One entry. An `llm_call` is a reply of a model, begins a turn, and may have usage.

    Calls of tools that a reply asks for are put into the ledger; a `tool_result` of the same
    `call_id` says what came of one.
    """

    type = serializers.ChoiceField(
        choices=EntryType.choices, required=False, default=EntryType.MESSAGE
    )
    role = serializers.ChoiceField(choices=[str(role) for role in Role], required=False)
    text = Text(required=False, default="", allow_blank=True)
    tool_requests = ToolRequestSerializer(many=True, required=False, default=[])
    call_id = Text(required=False, default="", allow_blank=True, max_length=200)
    tool_name = Text(required=False, default="", allow_blank=True, max_length=200)
    outcome = serializers.ChoiceField(
        choices=[str(outcome) for outcome in _OUTCOMES],
        required=False,
        default=str(CallStatus.COMPLETE),
    )
    turn = Whole(required=False, min_value=0, max_value=LARGEST_INTEGER)
    usage = EntryUsageSerializer(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        speaks = _SPEAKS.get(attrs["type"])
        role = attrs.setdefault("role", str(speaks or Role.USER))
        if speaks is not None and role != speaks:
            raise serializers.ValidationError({"role": f"It is {speaks} in such an entry."})
        if attrs["tool_requests"] and role != Role.ASSISTANT:
            raise serializers.ValidationError({"tool_requests": "Only an assistant asks."})
        if role == Role.TOOL_RESULT and not attrs["call_id"]:
            raise serializers.ValidationError({"call_id": "Say which call it is of."})
        return attrs


class EntriesSerializer(ClaimedRequest):
    """Entries to append, all or none.

    With an `idempotency_key` they are appended once for the execution, by whichever claim.
    `parent_id` is the entry after which they come; left out, the last one.
    """

    idempotency_key = Text(required=False, default="", allow_blank=True, max_length=150)
    parent_id = serializers.UUIDField(required=False, allow_null=True, default=None)
    entries = serializers.ListField(
        child=NewEntrySerializer(), min_length=1, max_length=_MOST_ENTRIES
    )


class CheckpointRequest(ClaimedRequest):
    """The state to go on from; `sequence` is one more than that of the last checkpoint."""

    sequence = Whole(min_value=1, max_value=LARGEST_INTEGER)
    state = serializers.DictField()


class NewJobSerializer(Request):
    """A job of a kind that is registered in the installation; `key` makes it one."""

    key = Text(max_length=200)
    kind = Text(max_length=80)
    input = serializers.JSONField(required=False, allow_null=True, default=None)
    max_retries = Whole(required=False, min_value=0, max_value=100)
    timeout = Whole(required=False, min_value=1, max_value=LONGEST_DEADLINE)
    worker_queue = Text(required=False, max_length=60)


class JobsSerializer(ClaimedRequest):
    """Jobs to schedule, all or none."""

    jobs = serializers.ListField(child=NewJobSerializer(), min_length=1, max_length=_MOST_JOBS)


class CompleteSerializer(ClaimedRequest):
    """How it ended well."""

    output = serializers.JSONField(required=False, allow_null=True, default=None)
    hears_messages = Flag(
        required=False,
        default=False,
        help_text="Do not end while a message of somebody's is not consumed.",
    )


class FailSerializer(ClaimedRequest):
    """How it ended badly; `code` is for programs."""

    code = serializers.RegexField(
        r"^[A-Z][A-Z0-9_]{0,59}$", required=False, default="AGENT_ERROR", max_length=60
    )
    message = Text(max_length=2000)
    details = serializers.DictField(required=False, default=dict)

    def validate_details(self, value: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(_TAKEN_DETAILS & value.keys()):
            raise serializers.ValidationError(f"These names are taken: {', '.join(taken)}.")
        return value


# Nobody waits for these from outside: their calls and questions are those of runs of ours.
_OF_OUR_RUNS = (Condition.Kind.TOOL_CALL, Condition.Kind.QUESTION)


class WantedSerializer(Request):
    """One thing to wait for: a `signal` by `name`, a `timer` of `seconds`, another by its `id`."""

    kind = serializers.ChoiceField(
        choices=[str(kind) for kind in Condition.Kind if kind not in _OF_OUR_RUNS]
    )
    name = serializers.RegexField(
        _PATTERN, required=False, max_length=200, help_text="A name, or a pattern with `*`."
    )
    id = serializers.UUIDField(required=False)
    seconds = Number(required=False, min_value=0, max_value=LONGEST_DEADLINE)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        needs = {"signal": "name", "timer": "seconds"}.get(attrs["kind"], "id")
        if needs not in attrs:
            raise serializers.ValidationError({needs: f"A {attrs['kind']} is waited for by it."})
        return attrs


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "an answer, or a day",
            value={
                "epoch": 3,
                "conditions": [
                    {"kind": "signal", "name": "answer.*"},
                    {"kind": "timer", "seconds": 86400},
                ],
            },
            request_only=True,
        )
    ]
)
class SuspendSerializer(ClaimedRequest):
    """What to wait for. A timer ends the wait whatever the mode."""

    mode = serializers.ChoiceField(choices=["any", "all"], required=False, default="any")
    conditions = serializers.ListField(
        child=WantedSerializer(), min_length=1, max_length=_MOST_CONDITIONS
    )
    reason = Text(required=False, default="", allow_blank=True, max_length=200)

    def validate_conditions(self, value: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if sum(each["kind"] == Condition.Kind.TIMER for each in value) > 1:
            raise serializers.ValidationError("One timer is enough: the first would end it.")
        return value


class ConsumeSerializer(ClaimedRequest):
    """Which signals to take in hand, by a `name` or a `glob` (`*` is anything), at most `limit`."""

    name = serializers.RegexField(_NAME, required=False, max_length=200)
    glob = serializers.RegexField(_PATTERN, required=False, max_length=200)
    limit = Whole(required=False, default=1, min_value=1, max_value=_MOST_SIGNALS)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("name" in attrs) == ("glob" in attrs):
            raise serializers.ValidationError("Give a name or a glob.")
        return attrs


class PieceSerializer(Request):
    """`token` and `thinking` have a `text`; `progress`, `data` and `error` a `value`."""

    kind = serializers.ChoiceField(
        choices=["token", "thinking", "reset", "progress", "data", "error"]
    )
    text = Text(required=False, default="", allow_blank=True, max_length=65536)
    value = serializers.JSONField(required=False, allow_null=True, default=None)


class PiecesSerializer(ClaimedRequest):
    """What watchers see and nobody keeps."""

    pieces = serializers.ListField(child=PieceSerializer(), min_length=1, max_length=_MOST_PIECES)


class EpochSerializer(serializers.Serializer[Any]):
    """Which claim asks, in the query."""

    epoch = serializers.IntegerField(min_value=0, max_value=LARGEST_INTEGER)


class AfterSerializer(EpochSerializer):
    """And after which position."""

    after = serializers.IntegerField(
        required=False, default=0, min_value=0, max_value=LARGEST_INTEGER
    )
