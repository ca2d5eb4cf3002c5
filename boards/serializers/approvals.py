"""Shapes of approvals: as they are asked for, shown and decided."""

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from agents.serializers import ActorField, KnownFieldsOnly
from boards.actions import approvals
from boards.actions.approvals import ApprovalRequest
from boards.models import Approval, ApprovalStatus


@extend_schema_field(approvals.PAYLOAD_SHAPE)
class PayloadField(serializers.JSONField):
    """What exactly is to be done."""


@extend_schema_field(approvals.RUBRIC_SHAPE)
class RubricField(serializers.JSONField):
    """How the request scores, criterion by criterion."""


class ApprovalSerializer(serializers.ModelSerializer[Approval]):
    """A decision asked of a person."""

    task_ids = serializers.SerializerMethodField()
    requester = ActorField("requester")
    decided_by = ActorField("decider", allow_null=True)
    execution = serializers.UUIDField(source="execution_id", read_only=True, allow_null=True)

    class Meta:
        model = Approval
        fields = [
            "id",
            "board",
            "kind",
            "status",
            "action_type",
            "reason",
            "payload",
            "confidence",
            "rubric_scores",
            "task_ids",
            "execution",
            "requester",
            "decided_by",
            "decision_reason",
            "created_at",
            "updated_at",
            "decided_at",
        ]
        read_only_fields = fields

    @extend_schema_field({"type": "array", "items": {"type": "string", "format": "uuid"}})
    def get_task_ids(self, approval: Approval) -> list[str]:
        return sorted(str(link.task_id) for link in approval.links.all())


class ApprovalRequestSerializer(KnownFieldsOnly):
    """What is asked for. It is pending, whatever `status` says."""

    status = serializers.CharField(read_only=True)
    action_type = serializers.CharField(max_length=80)
    reason = serializers.CharField(max_length=20_000)
    payload = PayloadField(required=False, validators=[approvals.check_payload])
    confidence = serializers.FloatField(required=False, allow_null=True, min_value=0, max_value=100)
    rubric_scores = RubricField(required=False, validators=[approvals.check_rubric])
    task_id = serializers.UUIDField(required=False, allow_null=True)
    task_ids = serializers.ListField(
        child=serializers.UUIDField(), required=False, max_length=approvals.MOST_TASKS
    )

    def request(self) -> ApprovalRequest:
        """The valid body as the action wants it; `task_id` is one more of `task_ids`."""
        fields = {**self.validated_data}
        one = fields.pop("task_id", None)
        task_ids = {*fields.pop("task_ids", ()), *([one] if one else [])}
        return ApprovalRequest(**fields, task_ids=tuple(task_ids))


class DecisionSerializer(KnownFieldsOnly):
    """How an approval is decided, and why."""

    of_requests = {**KnownFieldsOnly.of_requests, "required": ["status"]}

    status = serializers.ChoiceField(choices=[ApprovalStatus.APPROVED, ApprovalStatus.REJECTED])
    reason = serializers.CharField(required=False, allow_blank=True, max_length=20_000)
