"""What a lost worker or a broken transaction held comes back at once, and in one go."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F

from executions import semaphore
from executions.engine import dispatch, ends
from executions.engine.claim import Batch
from executions.engine.sweep import sweep
from executions.models import Execution, Status
from executions.semaphore import Scope
from tests.executions.carrying import claimed
from tests.starting import a_run, an_agent, an_organization

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_permit_comes_back_though_the_first_way_to_leave_was_rolled_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agent = an_agent()
    run = a_run(agent, {"say": "x"})
    claim = claimed(run)
    with monkeypatch.context() as broken:
        broken.setattr(ends, "announce", lambda *a, **k: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ends.complete(claim, Batch(), output="x", diff=None)
    ends.fail(claim, Batch(), code="AGENT_ERROR", message="It broke.")
    run.refresh_from_db()
    assert run.status == Status.FAILED
    assert semaphore.members(Scope("organization", str(agent.organization_id))) == set()


@pytest.mark.parametrize("what", ["lost", "due", "overdue"])
def test_a_sweep_walks_the_queue_of_an_organization_once(
    monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    organization = an_organization(max_concurrent=3)
    agent = an_agent(organization)
    runs = [a_run(agent, {"say": "x"}, deadline_seconds=3600) for _ in range(6)]
    hour = timedelta(hours=1, minutes=1)
    if what == "overdue":
        Execution.objects.filter(pk__in=[run.pk for run in runs[:3]]).update(
            deadline_at=F("deadline_at") - hour
        )
    else:
        claims = [claimed(run) for run in runs[:3]]
        Execution.objects.filter(status=Status.RUNNING).update(
            lease_expires_at=F("lease_expires_at") - hour
        )
    if what == "due":
        for claim in claims:
            ends.sleep(claim, Batch(), seconds=-1, reason="model_busy")
    walked: list[Any] = []
    walk = dispatch._walk
    monkeypatch.setattr(dispatch, "_walk", lambda key: walked.append(key) or walk(key))
    sweep()
    assert walked == [organization.id]
    assert Execution.objects.filter(admitted_epoch__isnull=False).count() == 3
