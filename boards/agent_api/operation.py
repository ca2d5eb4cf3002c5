"""Marks a method of a view as an operation of the agent API, with its hint and its schema."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from drf_spectacular.utils import extend_schema
from rest_framework.serializers import BaseSerializer

from boards.agent_api.hints import HINTS

Method = TypeVar("Method", bound=Callable[..., Any])


def operation(operation_id: str, summary: str, **schema: Any) -> Callable[[Method], Method]:
    """The method as the operation of this id; what `extend_schema` takes goes into the schema.

    Agents are answered 200, whatever the method.
    """
    hint = HINTS[operation_id]
    answer = schema.pop("responses")
    responses = answer if isinstance(answer, BaseSerializer | dict) else {200: answer}

    def mark(method: Method) -> Method:
        marked: Method = extend_schema(
            operation_id=operation_id,
            summary=summary,
            description=f"{hint.when} {hint.effects}",
            tags=hint.tags,
            extensions=hint.extensions,
            responses=responses,
            **schema,
        )(method)
        marked.hint = hint  # type: ignore[attr-defined]  # What the permission asks for.
        return marked

    return mark
