"""Shapes of jobs as answers show them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from executions import documents
from executions.models import Job, JobStatus

_LISTED = [
    "job_id",
    "exec_id",
    "key",
    "kind",
    "status",
    "failure",
    "attempt",
    "max_retries",
    "timeout_seconds",
    "worker_queue",
    "recoveries",
    "cancel_requested_at",
    "due_at",
    "created_at",
    "started_at",
    "finished_at",
    "duration_ms",
]
_EXAMPLE = {
    "job_id": "01890a5d-ac96-774b-bcce-b302099a8058",
    "exec_id": "01890a5d-ac96-774b-bcce-b302099a8057",
    "key": "index:README.md",
    "kind": "index_file",
    "status": "completed",
    "failure": None,
    "attempt": 1,
    "max_retries": 3,
    "timeout_seconds": 300,
    "worker_queue": "jobs",
    "recoveries": 0,
    "cancel_requested_at": None,
    "due_at": "2026-01-05T09:00:00Z",
    "created_at": "2026-01-05T09:00:00Z",
    "started_at": "2026-01-05T09:00:00Z",
    "finished_at": "2026-01-05T09:00:02Z",
    "duration_ms": 2000,
    "input": {"path": "README.md"},
    "output": {"words": 812},
}


class JobFailureSerializer(serializers.Serializer[Any]):
    """How a job's last try failed; `code` is stable."""

    code = serializers.CharField()
    message = serializers.CharField()


class ListedJobSerializer(serializers.ModelSerializer[Job]):
    """A job as lists show it: without its input and output.

    A failed try with tries left is `queued` again, due later; `failure` says then why.
    """

    job_id = serializers.UUIDField(source="id")
    exec_id = serializers.UUIDField(source="execution_id")
    status = serializers.ChoiceField(choices=JobStatus.choices)
    failure = serializers.SerializerMethodField()
    duration_ms = serializers.SerializerMethodField()

    class Meta:
        model = Job
        fields = _LISTED

    @extend_schema_field(JobFailureSerializer(allow_null=True))
    def get_failure(self, job: Job) -> dict[str, str] | None:
        if not job.failure_code:
            return None
        return {"code": job.failure_code, "message": job.failure_message}

    def get_duration_ms(self, job: Job) -> int | None:
        return documents.milliseconds(job.started_at, job.finished_at)


@extend_schema_serializer(
    examples=[OpenApiExample("completed", value=_EXAMPLE, response_only=True)]
)
class JobSerializer(ListedJobSerializer):
    """A job with its input, and what it returned once it is completed."""

    input = serializers.JSONField()
    output = serializers.JSONField(help_text="Null where there is none.")

    class Meta(ListedJobSerializer.Meta):
        fields = [*_LISTED, "input", "output"]
