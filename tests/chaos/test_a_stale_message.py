"""A message that was overtaken by events claims nothing."""

from __future__ import annotations

import pytest
from django.utils import timezone

from executions.engine import claim as claims
from executions.engine.sweep import sweep
from executions.models import Execution, Status
from tests.starting import a_run, an_agent

pytestmark = [pytest.mark.chaos, pytest.mark.django_db(transaction=True)]


def test_the_message_of_an_earlier_epoch_claims_nothing() -> None:
    run = a_run(an_agent(), {"say": "done"})
    lost = claims.take(run.id, 0, "a worker that dies")
    assert lost is not None
    Execution.objects.filter(pk=run.pk).update(lease_expires_at=timezone.now())
    sweep()
    run.refresh_from_db()
    assert (run.status, run.epoch, run.admitted_epoch) == (Status.QUEUED, 2, 2)

    for stale in (0, 1, 3):
        assert claims.take(run.id, stale, "a worker that reads late") is None
    assert claims.take(run.id, 2, "its successor") is not None
    assert claims.take(run.id, 2, "the same message once more") is None
