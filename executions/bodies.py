"""Shapes of what is asked of executions."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from agents.actions import configuration
from agents.serializers import (
    ApprovalRequiredField,
    HooksField,
    KnownFieldsOnly,
    ModelSettingsField,
    ToolsField,
    limit_field,
)
from boards.models import MergeStrategy
from executions.fields import Flag, Number, Text, Whole
from executions.signal_serializers import LONGEST_TEXT, SendSerializer

DEFAULT_TIMEOUT = 60.0
TIMEOUTS = (1.0, 300.0)
LONGEST_DEADLINE = 30 * 24 * 3600
# Signals of one start.
MOST_SIGNALS = 20


class Request(KnownFieldsOnly):
    """A body; fields that it does not name are refused."""


@extend_schema_serializer(
    examples=[
        OpenApiExample("a prompt", value={"prompt": "Why does the test fail?"}, request_only=True),
        OpenApiExample(
            "an action",
            value={"action": "review", "with": {"pull_request": 12}, "timeout": 120},
            request_only=True,
        ),
        OpenApiExample(
            "with a signal",
            value={
                "prompt": "Draft the letter.",
                "signals": [{"name": "budget", "value": 300, "dedup_key": "mail-4711"}],
            },
            request_only=True,
        ),
    ]
)
class StartSerializer(Request):
    """What is to be done: `action` or `prompt`, at least one; `with` has the values for it."""

    action = Text(required=False, allow_blank=True, max_length=200)
    prompt = Text(required=False, allow_blank=True)
    timeout = Number(
        required=False,
        default=DEFAULT_TIMEOUT,
        min_value=TIMEOUTS[0],
        max_value=TIMEOUTS[1],
        help_text="Seconds to wait for the end.",
    )
    board = serializers.UUIDField(
        required=False, allow_null=True, help_text="Left out: the task's, else the agent's own."
    )
    task = serializers.UUIDField(required=False, allow_null=True)
    priority = Whole(
        required=False, default=3, min_value=1, max_value=5, help_text="1 is the highest."
    )
    deadline_seconds = Number(
        required=False, allow_null=True, min_value=1, max_value=LONGEST_DEADLINE
    )
    queue = Flag(required=False, default=True, help_text="False: refuse rather than queue.")
    signals = serializers.ListField(
        child=SendSerializer(),
        required=False,
        max_length=MOST_SIGNALS,
        help_text="Sent to it with its start, in this order.",
    )

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        # `with` is a word of Python, and cannot be declared like the others.
        return {**super().get_fields(), "with": serializers.DictField(required=False)}


class AsyncStartSerializer(StartSerializer):
    """The same; `timeout` is accepted and ignored."""

    timeout = serializers.JSONField(  # type: ignore[assignment]  # Wider on purpose.
        required=False, help_text="Ignored."
    )


# What an execution without an agent says of itself, where another has it from its agent.
CONFIGURATION = (
    "name",
    "kind",
    "model",
    "model_settings",
    "soul",
    "tools",
    "approval_required",
    "hooks",
    "max_turns",
    "token_budget",
    "seconds_budget",
)


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "of an agent",
            value={"agent": "mender", "prompt": "Why does the test fail?", "priority": 2},
            request_only=True,
        ),
        OpenApiExample(
            "inline",
            value={
                "kind": "react",
                "model": "scripted:echo",
                "soul": "You answer in one sentence.",
                "tools": ["Read", "Grep"],
                "max_turns": 5,
                "input": "What does greeting.py do?",
            },
            request_only=True,
        ),
    ]
)
class ExecutionOrderSerializer(StartSerializer):
    """An execution of `agent`; or, without one, configured here as an agent would be.

    `input` is a text, which is the prompt, or an object, which is `with`.
    """

    timeout = None  # type: ignore[assignment]  # So REST framework takes an inherited one away.
    agent = Text(
        required=False, allow_null=True, max_length=200, help_text="An agent's id or slug."
    )
    input = serializers.JSONField(required=False, help_text="A text or an object.")
    name = Text(required=False, allow_blank=True, max_length=200)
    kind = Text(required=False, max_length=80, validators=[configuration.check_kind])
    model = Text(
        required=False,
        allow_blank=True,
        max_length=200,
        validators=[configuration.check_model],
        help_text="Left out: the board's, else the server's.",
    )
    model_settings = ModelSettingsField(
        required=False, validators=[configuration.check_model_settings]
    )
    soul = Text(required=False, allow_blank=True)
    tools = ToolsField(required=False, allow_null=True, validators=[configuration.check_tools])
    approval_required = ApprovalRequiredField()
    hooks = HooksField(required=False, validators=[configuration.check_hooks])
    max_turns = Whole(required=False, allow_null=True, min_value=1, max_value=500)
    token_budget = limit_field()
    seconds_budget = limit_field()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        problems: dict[str, Any] = {}
        if attrs.get("agent") is not None:
            problems |= {name: [_NOT_WITH_AGENT] for name in CONFIGURATION if name in attrs}
        if "input" in attrs:
            given = attrs.pop("input")
            name = _meant_by(given)
            if not name:
                problems["input"] = ["It is a text or an object."]
            elif attrs.get(name):
                problems["input"] = [f"It says the same as `{name}`; give one of them."]
            else:
                attrs[name] = given
        if problems:
            raise serializers.ValidationError(problems)
        return attrs


_NOT_WITH_AGENT = serializers.ErrorDetail(
    "It is the agent's; leave out one of them.", code="not_with_agent"
)


def _meant_by(given: Any) -> str:
    """Which field `input` stands for; empty where it is neither a text nor an object."""
    if isinstance(given, str):
        return "prompt"
    return "with" if isinstance(given, dict) else ""


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "from the second checkpoint",
            value={"checkpoint": 2, "input": "Try it without the cache."},
            request_only=True,
        )
    ]
)
class ForkSerializer(Request):
    """From which checkpoint a fork goes on, and what it is told first."""

    checkpoint = Whole(
        min_value=1, max_value=2**31 - 1, help_text="The `sequence` of a checkpoint."
    )
    input = Text(required=False, allow_blank=True, default="", max_length=100_000)


class CancelSerializer(Request):
    """Why it is cancelled, and whether the model call and tool under way end at once."""

    reason = Text(required=False, allow_blank=True, default="", max_length=2000)
    hard = Flag(required=False, default=False)


class ResumeSerializer(Request):
    """What the model is told before its next turn."""

    feedback = Text(required=False, allow_blank=True, default="", max_length=LONGEST_TEXT)


class ExtendSerializer(Request):
    """How much more it may use; at least one of them."""

    of_requests = {**Request.of_requests, "minProperties": 1}

    turns = Whole(required=False, min_value=1, max_value=500)
    tokens = Whole(required=False, min_value=1, max_value=1_000_000_000)
    seconds = Whole(
        required=False, min_value=1, max_value=LONGEST_DEADLINE, help_text="Time of work."
    )

    def validate(self, attrs: dict[str, int]) -> dict[str, int]:
        if not attrs:
            raise serializers.ValidationError("Give turns, tokens or seconds.")
        return attrs


class ApproveSerializer(Request):
    """How the work comes into the branch; left out, as the board says."""

    strategy = serializers.ChoiceField(choices=MergeStrategy.choices, required=False)


class RejectSerializer(Request):
    """Why the work is sent back: what the agent is told first."""

    reason = Text(max_length=20_000)


class NothingSerializer(Request):
    """An empty object, or no body at all."""
