"""Shapes of what is asked of executions."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from agents.serializers import KnownFieldsOnly
from executions.fields import Flag, Number, Text, Whole

DEFAULT_TIMEOUT = 60.0
TIMEOUTS = (1.0, 300.0)
LONGEST_DEADLINE = 30 * 24 * 3600


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

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        # `with` is a word of Python, and cannot be declared like the others.
        return {**super().get_fields(), "with": serializers.DictField(required=False)}


class AsyncStartSerializer(StartSerializer):
    """The same; `timeout` is accepted and ignored."""

    timeout = serializers.JSONField(  # type: ignore[assignment]  # Wider on purpose.
        required=False, help_text="Ignored."
    )


class CancelSerializer(Request):
    """Why it is cancelled, and whether the model call and tool under way end at once."""

    reason = Text(required=False, allow_blank=True, default="", max_length=2000)
    hard = Flag(required=False, default=False)


class ResumeSerializer(Request):
    """What the model is told before its next turn."""

    feedback = Text(required=False, allow_blank=True, default="", max_length=100_000)


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


class NothingSerializer(Request):
    """An empty object, or no body at all."""
