"""A machine that does everything that can be done to executions, in any order, and looks after
each step whether what must hold still does."""

from collections import defaultdict
from datetime import timedelta

import pytest
from django.db.models import F
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from agents.activity import SYSTEM
from agents.models import LiveWork
from agents.redis import client
from executions import actions, semaphore
from executions.engine import claim as claims
from executions.engine import ends
from executions.engine.claim import Batch, Claim
from executions.engine.sweep import sweep
from executions.errors import ExecutionState, Superseded
from executions.models import LIVE, TERMINAL, Event, Execution, PauseReason, Status
from executions.semaphore import Scope
from tests.long_form import IS_LONG
from tests.starting import a_run, an_agent

LIMIT = 2
WORKING = (Status.RUNNING, Status.CANCELLING)


class Life(RuleBasedStateMachine):
    """Executions of one agent that may have two at once."""

    runs = Bundle("runs")
    claimed = Bundle("claimed")

    def __init__(self) -> None:
        super().__init__()
        client().flushdb()
        self.agent = an_agent(max_concurrency=LIMIT)
        self.ended: dict[object, tuple[str, int, int]] = {}

    @rule(target=runs, priority=st.integers(1, 5))
    def start(self, priority: int) -> Execution:
        return a_run(self.agent, {"say": "x"}, priority=priority)

    @rule(target=claimed, run=runs, behind=st.integers(0, 1))
    def claim(self, run: Execution, behind: int) -> tuple[Execution, Claim | None]:
        """A message arrives, now or late: only one at the very epoch may claim."""
        before = Execution.objects.get(pk=run.pk)
        claim = claims.take(run.pk, before.epoch - behind, "worker") if before.epoch else None
        if claim is None and not behind:
            claim = claims.take(run.pk, before.epoch, "worker")
        fits = before.status == Status.QUEUED and before.admitted_epoch is not None
        assert (claim is not None) <= fits
        return run, claim

    @rule(pair=claimed, is_boundary=st.booleans())
    def commit(self, pair: tuple[Execution, Claim | None], *, is_boundary: bool) -> None:
        self._as_worker(pair, lambda claim: claims.commit(claim, self._batch(is_boundary)))

    @rule(pair=claimed, how=st.sampled_from(["complete", "fail", "pause", "sleep", "yield"]))
    def leave(self, pair: tuple[Execution, Claim | None], how: str) -> None:
        steps = {
            "complete": lambda c: ends.complete(c, Batch(), output="x", diff=None),
            "fail": lambda c: ends.fail(c, Batch(), code="AGENT_ERROR", message="x"),
            "pause": lambda c: ends.pause(c, Batch(), PauseReason.OPERATOR),
            "sleep": lambda c: ends.sleep(c, Batch(), seconds=60, reason="x"),
            "yield": lambda c: ends.give_up(c, Batch()),
        }
        self._as_worker(pair, steps[how])

    @rule(pair=claimed)
    def end_cancelled(self, pair: tuple[Execution, Claim | None]) -> None:
        self._as_worker(pair, ends.cancelled, status=Status.CANCELLING)

    def _as_worker(self, pair, step, status: Status = Status.RUNNING) -> None:
        """A worker writes: it goes through exactly while its claim holds."""
        run, claim = pair
        if claim is None:
            return
        before = Execution.objects.get(pk=run.pk)
        holds = before.claim_id == claim.claim_id and before.status == status
        try:
            step(claim)
        except Superseded:
            assert not holds
            after = Execution.objects.get(pk=run.pk)
            assert (after.event_seq, after.epoch) == (before.event_seq, before.epoch)
        else:
            assert holds

    @rule(run=runs, is_hard=st.booleans())
    def cancel(self, run: Execution, *, is_hard: bool) -> None:
        self._as_operator(lambda: actions.cancel(run, by=SYSTEM, is_hard=is_hard))

    @rule(run=runs)
    def pause(self, run: Execution) -> None:
        self._as_operator(lambda: actions.pause(run, by=SYSTEM))

    @rule(run=runs, feedback=st.sampled_from(["", "go on"]))
    def resume(self, run: Execution, feedback: str) -> None:
        self._as_operator(lambda: actions.resume(run, by=SYSTEM, feedback=feedback))

    def _as_operator(self, step) -> None:
        try:
            step()
        except ExecutionState as refusal:
            facts = refusal.facts
        else:
            return
        assert facts["execution_status"] not in facts["allowed"]

    @rule(run=runs)
    def lose_the_worker(self, run: Execution) -> None:
        Execution.objects.filter(pk=run.pk, status__in=WORKING).update(
            lease_expires_at=F("lease_expires_at") - timedelta(hours=1)
        )
        sweep()
        assert Execution.objects.get(pk=run.pk).status not in WORKING

    @rule(run=runs)
    def time_passes(self, run: Execution) -> None:
        run.conditions.update(due_at=F("due_at") - timedelta(hours=1))
        sweep()

    @rule()
    def flush_redis(self) -> None:
        client().flushdb()
        sweep()

    def _batch(self, is_boundary: bool) -> Batch:
        batch = Batch(is_boundary=is_boundary)
        batch.event("execution.turn", turn=1)
        return batch

    def teardown(self) -> None:
        """Leave no work behind: each sweep of a later life would look after it too."""
        LiveWork.objects.filter(agent=self.agent).delete()
        Execution.objects.filter(agent=self.agent).delete()

    @invariant()
    def limits_hold(self) -> None:
        mine = Execution.objects.filter(agent=self.agent)
        admitted = mine.filter(admitted_epoch__isnull=False)
        assert admitted.count() <= LIMIT
        members = semaphore.members(Scope("agent", str(self.agent.pk)))
        if client().get(semaphore.GENERATION):
            assert {row.permit for row in admitted} <= members

    @invariant()
    def events_have_no_gap_and_ends_are_final(self) -> None:
        events = Event.objects.filter(execution__agent=self.agent).order_by("seq")
        seqs = defaultdict(list)
        for run, seq in events.values_list("execution_id", "seq"):
            seqs[run].append(seq)
        live = set(LiveWork.objects.filter(agent=self.agent).values_list("pk", flat=True))
        for row in Execution.objects.filter(agent=self.agent):
            assert seqs[row.pk] == list(range(1, row.event_seq + 1))
            assert (row.status in LIVE) == (row.pk in live)
            if row.status in TERMINAL:
                now = (row.status, row.epoch, row.event_seq)
                assert self.ended.setdefault(row.pk, now) == now


@pytest.mark.django_db(transaction=True)
def test_whatever_is_done_in_any_order_the_invariants_hold() -> None:
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=100 if IS_LONG else 12,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
