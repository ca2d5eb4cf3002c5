"""What a run hands to others and waits for: jobs for any worker, children for any agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import Any
from uuid import UUID

from agents.models import Agent
from agents.queries import find_agent
from agents.runtime.context import (
    ChildHandle,
    ChildResult,
    JobFailed,
    JobHandle,
    JobResult,
    Rejected,
    Spawn,
)
from agents.runtime.json_values import storable
from executions import actions, grounds, signals, starts
from executions.configuration import Wish
from executions.engine import children, job_cancel, jobs, waits
from executions.engine import claim as claims
from executions.engine.conditions import Wanted
from executions.engine.effects import Effects, NotYet, asking
from executions.engine.steps import Effect
from executions.errors import ExecutionState, JobState
from executions.grounds import Ground
from executions.models import JOB_TERMINAL, Condition, Execution, Job, JobStatus, WaitMode

Results = list[dict[str, Any]]


class Delegation(Effects):
    """Jobs and children, each an effect with its key."""

    # --- jobs

    def schedule_job(self, key: str, kind: str, given: Any = None, **options: Any) -> JobHandle:
        stored = storable(given)
        effect = self.known(key, "job", [kind, stored])
        with asking():
            job_id = self.held(effect, lambda: self._scheduled(key, kind, stored, options))
        return JobHandle(UUID(job_id), key)

    def _scheduled(self, key: str, kind: str, given: Any, options: dict[str, Any]) -> str:
        job = jobs.schedule(
            self.claim.execution, key=key, kind=kind, input=self.redactor.json(given), **options
        )
        self.batch.event("job.scheduled", **jobs.facts_of(job))
        return str(job.id)

    def join_all(
        self, key: str, jobs: Sequence[JobHandle], *, timeout: float | None = None
    ) -> list[Any]:
        results = self.join_all_settled(key, jobs, timeout=timeout)
        for result in results:
            if result.status not in JOB_TERMINAL:
                raise TimeoutError(f"Job {result.key!r} is {result.status} after {timeout} s.")
            if not result.is_ok:
                raise JobFailed(result)
        return [result.output for result in results]

    def join_all_settled(
        self, key: str, jobs: Sequence[JobHandle], *, timeout: float | None = None
    ) -> list[JobResult]:
        found = self._joined(key, Condition.Kind.JOB, jobs, self._job_results, timeout=timeout)
        return [JobResult(job.id, job.key, **each) for job, each in zip(jobs, found, strict=True)]

    def select_ok(
        self,
        key: str,
        jobs: Sequence[JobHandle],
        *,
        cancel_losers: bool = True,
        timeout: float | None = None,
    ) -> JobResult:
        if not jobs:
            raise ValueError("There is no job to select.")
        ids = [job.id for job in jobs]
        seen = _Select(partial(self._job_results, ids))
        found = self.wait_for(
            self.known(key, "select", [str(each) for each in ids]),
            seen.first_ok,
            lambda: [Wanted(Condition.Kind.JOB, target_id=each) for each in seen.open_jobs(ids)],
            timeout=timeout,
            late=seen.look,
        )
        results = [JobResult(j.id, j.key, **each) for j, each in zip(jobs, found, strict=True)]
        won = next((result for result in results if result.is_ok), None)
        if cancel_losers:
            for job in (job for job in jobs if won is None or job.id != won.id):
                with suppress(Rejected):  # Of the past of a fork, whose original has it.
                    self.cancel_job(f"{key}:lost:{job.key}", job)
        if won is None:
            raise JobFailed(results[-1])
        return won

    def cancel_job(self, key: str, job: JobHandle) -> None:
        effect = self.known(key, "cancel_job", str(job.id))
        if effect.is_finished:
            return
        mine = Job.objects.filter(pk=job.id, execution=self.claim.id).first()
        if mine is None:
            raise Rejected("JOB_NOT_FOUND", "There is no such job of this execution.")
        self.held(effect, partial(self._give_up_job, mine))

    def _give_up_job(self, job: Job) -> None:
        with suppress(JobState):  # It has ended.
            job_cancel.cancel(job, by=self.actor)

    # --- children

    def spawn(self, key: str, what: Spawn) -> ChildHandle:
        asked = storable(asdict(what))
        effect = self.known(key, "child", asked)
        if effect.is_finished:
            return ChildHandle(UUID(effect.result), key)
        row = self.claim.execution
        if row.depth >= children.DEEPEST:
            raise Rejected("TOO_DEEP", f"{children.DEEPEST} executions stand above this already.")
        with asking():
            agent = self._agent_for(what)
        wish = Wish(
            action=what.action,
            prompt=self.redactor.text(what.prompt),
            values=self.redactor.json(asked["values"]),
            board=row.board,
            priority=what.priority,
        )
        wanted = Ground(row.organization_id, agent, row.board)
        with asking(), grounds.held(wanted, by=self.actor) as ground:
            child = starts.begin(ground, agent, wish, by=self.actor, parent=row)
            self.batch.event("child.spawned", child=str(child.id), agent=agent.name, key=key)
            self.keep(effect, str(child.id))
        return ChildHandle(child.id, key)

    def _agent_for(self, what: Spawn) -> Agent:
        row = self.claim.execution
        if not what.agent:
            if row.agent is None:
                raise Rejected("AGENT_REQUIRED", "An execution without an agent names the child's.")
            return row.agent
        return find_agent(Agent.objects.filter(organization=row.organization_id), what.agent)

    def join_children(
        self, key: str, children: Sequence[ChildHandle], *, timeout: float | None = None
    ) -> list[ChildResult]:
        found = self._joined(
            key,
            Condition.Kind.CHILD,
            children,
            self._child_results,
            timeout=timeout,
            seen=lambda: self._note_ends(children),
        )
        return [ChildResult(c.id, c.key, **each) for c, each in zip(children, found, strict=True)]

    def _note_ends(self, children_: Sequence[ChildHandle]) -> None:
        """Of ends that nobody has told of, the commit that sees them has the events."""
        for facts in children.tell_of_ended(self.claim.id, [child.id for child in children_]):
            self.batch.event("child.finished", **facts)

    def cancel_child(self, key: str, child: ChildHandle, *, reason: str = "") -> None:
        effect = self.known(key, "cancel_child", str(child.id))
        if effect.is_finished:
            return
        mine = self._child(child.id)
        with asking():
            self.held(effect, partial(self._give_up_child, mine, reason))

    def _give_up_child(self, child: Execution, reason: str) -> None:
        with suppress(ExecutionState):  # It has ended.
            actions.cancel(child, by=self.actor, reason=reason)

    def signal_child(self, key: str, child: ChildHandle, name: str, value: Any = None) -> None:
        stored = storable(value)
        effect = self.known(key, "send", [str(child.id), name, stored])
        if effect.is_finished:
            return
        below = self._child(child.id).id
        with asking():
            claims.hold(self.claim)
            self._send(effect, waits.locked(below), name, stored)
        self.release()

    def signal_parent(self, key: str, name: str, value: Any = None) -> None:
        stored = storable(value)
        effect = self.known(key, "send", ["parent", name, stored])
        if effect.is_finished:
            return
        above = self.claim.execution.parent_id
        if above is None:
            raise Rejected("NO_PARENT", "This execution has no parent.")
        with asking():
            locked = waits.locked(above)  # The parent's row comes first.
            claims.hold(self.claim)
            self._send(effect, locked, name, stored)
        self.release()

    def _send(self, effect: Effect, to: Execution | None, name: str, value: Any) -> None:
        """Send a signal and keep the effect, in one transaction that holds both rows.

        What is refused is refused before anything is kept, and can be asked again.
        """
        assert to is not None, "an execution's row stays"
        signals.deliver(to, name=name, value=self.redactor.json(value), by=self.actor)
        self.keep(effect)

    def _child(self, child_id: UUID) -> Execution:
        mine = Execution.objects.filter(pk=child_id, parent=self.claim.id).first()
        if mine is None:
            raise Rejected("CHILD_NOT_FOUND", "There is no such child of this execution.")
        return mine

    # --- both

    def _job_results(self, ids: Sequence[UUID]) -> Results:
        # Of the organization: a fork waits for the jobs of its original.
        ours = self.claim.execution.organization_id
        mine = Job.objects.filter(execution__organization=ours, pk__in=ids)
        fields = ("status", "output", "failure_code", "failure_message")
        rows = {row.pop("id"): row for row in mine.values("id", *fields)}
        return _in_order(ids, rows, "JOB_NOT_FOUND")

    def _child_results(self, ids: Sequence[UUID]) -> Results:
        ours = self.claim.execution.organization_id
        mine = Execution.objects.filter(organization=ours, pk__in=ids)
        return _in_order(ids, children.results(mine), "CHILD_NOT_FOUND")

    def _joined(
        self,
        key: str,
        kind: Condition.Kind,
        those: Sequence[JobHandle] | Sequence[ChildHandle],
        look: Callable[[Sequence[UUID]], Results],
        *,
        timeout: float | None,
        seen: Callable[[], None] = lambda: None,
    ) -> Results:
        """Where each of them is, once all are over or the time is; `seen` is called with it."""
        ids = [each.id for each in those]

        def found(results: Results) -> Results:
            seen()
            return results

        joined = self.wait_for(
            self.known(key, f"{kind}s", [str(each) for each in ids]),
            lambda: found(_all_over(look(ids))),
            lambda: [Wanted(kind, target_id=each) for each in ids],
            mode=WaitMode.ALL,
            timeout=timeout,
            late=lambda: found(look(ids)),
        )
        return list(joined)


def _in_order(ids: Sequence[UUID], found: Mapping[UUID, dict[str, Any]], code: str) -> Results:
    """What was found of each. Raises `Rejected` where it is not there, or somebody else's."""
    if missing := [str(each) for each in ids if each not in found]:
        raise Rejected(code, f"There is no {missing[0]} to wait for.")
    return [found[each] for each in ids]


def _all_over(found: Results) -> Results:
    if any(each["status"] not in _OVER for each in found):
        raise NotYet
    return found


_OVER = ("completed", "failed", "cancelled")


class _Select:
    """The look for the first job that completes.

    What it waits for is what was open when it looked: an end that comes after is news then, while
    a second look for what is open would miss it, and the run wait for ever.
    """

    def __init__(self, look: Callable[[], Results]) -> None:
        self.look = look
        self._last: Results = []

    def first_ok(self) -> Results:
        self._last = self.look()
        if any(each["status"] == JobStatus.COMPLETED for each in self._last):
            return self._last
        return _all_over(self._last)

    def open_jobs(self, ids: Sequence[UUID]) -> list[UUID]:
        """Those whose end is news: of those that failed already there is none."""
        known = zip(ids, self._last, strict=True)
        return [each for each, result in known if result["status"] not in _OVER]
