"""One job over REST: read, and cancelled."""

from __future__ import annotations

from uuid import UUID

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents.models import Scope
from agents.rest.authentication import caller_of
from agents.rest.idempotency import IdempotentMixin
from agents.rest.permissions import TenantMixin
from executions.bodies import NothingSerializer
from executions.engine.job_cancel import cancel
from executions.job_serializers import JobSerializer
from executions.models import Job, JobStatus


@extend_schema_view(
    retrieve=extend_schema(operation_id="jobs_read", summary="Read a job with its input and output")
)
class JobViewSet(  # type: ignore[misc]  # Mixins name DRF's request, the view's stub Django's.
    TenantMixin, IdempotentMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Job]
):
    """Jobs of one organization's executions."""

    tenant_path = "execution__organization"
    queryset = Job.objects.all()
    serializer_class = JobSerializer
    required_scope = {"POST": Scope.RUN}
    lookup_url_kwarg = "job_id"

    @extend_schema(
        operation_id="jobs_cancel",
        summary="Cancel a job",
        description="At once while it is queued (200); by its code while it runs (202), whose "
        "result is then not kept. A job that has ended is 409 `JOB_STATE` with `job_status` and "
        "`allowed`.",
        request=NothingSerializer,
        responses={200: JobSerializer, 202: JobSerializer},
    )
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, job_id: UUID) -> Response:
        NothingSerializer(data=request.data).is_valid(raise_exception=True)
        job = cancel(self.get_object(), by=caller_of(request).actor)
        status = 202 if job.status == JobStatus.RUNNING else 200
        return Response(self.get_serializer(job).data, status=status)
