"""Every call of a live claim, with bodies at random: no 5xx, and nothing undeclared."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from executions.models import Execution
from executions.remote.run import take_next
from tests.config.test_every_operation import EXAMPLES, _fault, _sent, operations
from tests.executions.polling import KIND, a_remote_agent, a_remote_run, worker_client
from tests.starting import an_organization

pytestmark = pytest.mark.django_db


@pytest.fixture
def run() -> Execution:
    """A claimed execution; the test's own transaction has no commit that would admit it."""
    organization = an_organization()
    run = a_remote_run(a_remote_agent(organization))
    Execution.objects.filter(pk=run.pk).update(admitted_epoch=0)
    found = take_next(organization, kinds=[KIND], queue="executions", worker="here")
    assert found is not None
    return found


def test_every_call_of_a_claim_answers_as_it_declares(run: Execution) -> None:
    client, faults, answered = worker_client(run.organization), [], set()

    def ask(operation: Any) -> None:
        @settings(
            max_examples=EXAMPLES * 6,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(), data=st.data())
        def once(case: Any, data: st.DataObject) -> None:
            case.path_parameters["exec_id"] = str(run.id)
            for asked in (case.body, case.query):
                if isinstance(asked, dict) and data.draw(st.sampled_from([True, True, False])):
                    asked["epoch"] = run.epoch
            with transaction.atomic():
                answer = _sent(case, client)
                transaction.set_rollback(True)
            answered.add((operation.definition.raw["operationId"], answer.status_code))
            if fault := _fault(operation, answer):
                faults.append(f"{operation.label} {case.body!r:.300}: {fault}")

        once()

    asked = [op for op in operations() if op.path.startswith("/api/v0/dispatch/{")]
    for operation in asked:
        ask(operation)
    assert not faults, "\n".join(faults)
    well = {name for name, status in answered if status == 200}
    # Jobs are of kinds that chance does not find.
    assert len(well) >= len(asked) - 2, answered
