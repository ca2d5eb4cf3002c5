"""Shapes of the interview that sets a board up."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from agents.serializers import KnownFieldsOnly
from boards.actions import onboarding
from boards.models import OnboardingSession


@extend_schema_field(onboarding.DRAFT_SHAPE)
class DraftField(serializers.JSONField):
    """What the interview came to."""


class QuestionSerializer(serializers.Serializer[Any]):
    """One question; without an answer it is open."""

    question = serializers.CharField()
    options = serializers.ListField(child=serializers.CharField(), required=False)
    asked_by = serializers.UUIDField(required=False)
    answer = serializers.CharField(required=False)


class OnboardingSerializer(serializers.ModelSerializer[OnboardingSession]):
    """The interview of a board, and its draft once that is finished."""

    questions = QuestionSerializer(many=True, read_only=True)
    draft = DraftField(read_only=True, allow_null=True)

    class Meta:
        model = OnboardingSession
        fields = [
            "id",
            "board",
            "status",
            "questions",
            "draft",
            "created_at",
            "updated_at",
            "confirmed_at",
        ]
        read_only_fields = fields


class AnswerSerializer(KnownFieldsOnly):
    """What a person answers to the oldest open question."""

    answer = serializers.CharField(max_length=20_000)


class InterviewSerializer(KnownFieldsOnly):
    """What a main agent adds: the next question, or the finished draft."""

    of_requests = {
        **KnownFieldsOnly.of_requests,
        "oneOf": [{"required": ["question"]}, {"required": ["draft"]}],
    }

    question = serializers.CharField(required=False, max_length=20_000)
    options = serializers.ListField(
        child=serializers.CharField(max_length=500), required=False, max_length=20
    )
    draft = DraftField(required=False, validators=[onboarding.check_draft])

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("question" in attrs) == ("draft" in attrs):
            raise serializers.ValidationError("Send a question or the draft.", code="one_of_two")
        if "options" in attrs and "draft" in attrs:
            raise serializers.ValidationError({"options": "They belong to a question."})
        return attrs
