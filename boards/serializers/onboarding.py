"""Shapes of the interview that sets a board up."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from agents.models import Agent
from agents.serializers import KnownFieldsOnly, TenantAgentField
from boards import drafts
from boards.interviewers import standing
from boards.models import Interviewer, OnboardingSession

_ID = "019a0e5d-ac96-774b-bcce-b302099a8057"
_AT = "2026-11-29T09:00:00Z"
_DRAFT_OF_A_FORM = {**drafts.CHANGES_SHAPE, "minProperties": 0}
_QUESTIONS = [
    {
        "key": "objective",
        "question": "What is this board for?",
        "about": "objective",
        "answer": "Count the barn owls of the county.",
    },
    {
        "key": "has_target_date",
        "question": "Is there a day by which it should be done?",
        "options": ["Yes, there is a date", "No, there is none"],
    },
]
_EXAMPLE: dict[str, Any] = {
    "id": _ID,
    "board": _ID,
    "status": "active",
    "interviewer": "built_in",
    "agent": None,
    "questions": _QUESTIONS,
    "draft": None,
    "draft_edited_at": None,
    "rules": {},
    "lead": None,
    "lead_created": False,
    "created_at": _AT,
    "updated_at": _AT,
    "confirmed_at": None,
}
_STANDING = {
    "waits_for": "person",
    "since": _AT,
    "interviewer_status": None,
    "is_stuck": False,
    "note": "A question is open; answer it.",
}


@extend_schema_field(_DRAFT_OF_A_FORM)
class DraftField(serializers.JSONField):
    """What the interview came to."""


@extend_schema_field(drafts.SHAPE)
class HandedInField(serializers.JSONField):
    """A whole draft."""


class QuestionSerializer(serializers.Serializer[Any]):
    """One question; without an answer it is open."""

    key = serializers.CharField()
    question = serializers.CharField()
    about = serializers.CharField(required=False)
    options = serializers.ListField(child=serializers.CharField(), required=False)
    asked_by = serializers.UUIDField(required=False)
    answer = serializers.CharField(required=False)


@extend_schema_serializer(
    examples=[OpenApiExample("active", value=_EXAMPLE, response_only=True)],
)
class OnboardingSerializer(serializers.ModelSerializer[OnboardingSession]):
    """The interview of a board, its draft once that is finished, and the rules that this writes."""

    questions = QuestionSerializer(many=True, read_only=True)
    draft = DraftField(read_only=True, allow_null=True)
    rules = serializers.SerializerMethodField()

    class Meta:
        model = OnboardingSession
        fields = [
            "id",
            "board",
            "status",
            "interviewer",
            "agent",
            "questions",
            "draft",
            "draft_edited_at",
            "rules",
            "lead",
            "lead_created",
            "created_at",
            "updated_at",
            "confirmed_at",
        ]
        read_only_fields = fields

    @extend_schema_field({"type": "object", "additionalProperties": True})
    def get_rules(self, session: OnboardingSession) -> dict[str, Any]:
        return drafts.rules_of(session.draft or {}, session.board.approval_required)


class StandingSerializer(serializers.Serializer[Any]):
    """Whom the interview waits for and since when; `note` says what to do about it."""

    waits_for = serializers.CharField(
        allow_null=True, help_text="interviewer, person or confirmation; null once it is over."
    )
    since = serializers.DateTimeField(allow_null=True)
    interviewer_status = serializers.CharField(allow_null=True)
    is_stuck = serializers.BooleanField()
    note = serializers.CharField()


@extend_schema_serializer(
    examples=[
        OpenApiExample("active", value={**_EXAMPLE, "standing": _STANDING}, response_only=True)
    ],
)
class OnboardingStandingSerializer(OnboardingSerializer):
    """The same as operators see it, with how it stands."""

    standing = serializers.SerializerMethodField()

    class Meta(OnboardingSerializer.Meta):
        fields = [*OnboardingSerializer.Meta.fields, "standing"]
        read_only_fields = fields

    @extend_schema_field(StandingSerializer)
    def get_standing(self, session: OnboardingSession) -> Any:
        return StandingSerializer(standing(session)).data


@extend_schema_serializer(
    examples=[
        OpenApiExample("built in", value={"interviewer": "built_in"}, request_only=True),
        OpenApiExample(
            "main agent", value={"interviewer": "main_agent", "agent": _ID}, request_only=True
        ),
    ],
)
class OnboardingStartSerializer(KnownFieldsOnly):
    """Who asks; without it a main agent, if there is one, else the built-in interview."""

    interviewer = serializers.ChoiceField(choices=Interviewer.choices, required=False)
    agent = TenantAgentField(queryset=Agent.objects.all(), required=False)


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "metrics",
            value={"key": "success_metrics", "answer": "barns: 40\nreport: with the council"},
            request_only=True,
        ),
    ],
)
class AnswerSerializer(KnownFieldsOnly):
    """What a person answers to the question of this key, or without one to the oldest open one."""

    answer = serializers.CharField(max_length=20_000)
    key = serializers.CharField(max_length=80, required=False)


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "a question",
            value={
                "question": "What should be true when it is done?",
                "options": ["All barns are visited", "The report is out"],
                "about": "objective",
            },
            request_only=True,
        ),
        OpenApiExample("the draft", value={"draft": drafts.EXAMPLE}, request_only=True),
    ],
)
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
    about = serializers.ChoiceField(choices=list(drafts.FIELDS), required=False)
    draft = HandedInField(required=False, validators=[drafts.check])

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("question" in attrs) == ("draft" in attrs):
            raise serializers.ValidationError("Send a question or the draft.", code="one_of_two")
        strays = [name for name in ("options", "about") if name in attrs and "draft" in attrs]
        if strays:
            raise serializers.ValidationError(dict.fromkeys(strays, "It belongs to a question."))
        return attrs
