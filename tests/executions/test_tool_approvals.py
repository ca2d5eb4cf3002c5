"""A call that needs a person waits for one, and runs once with exactly what was approved."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from rest_framework.exceptions import ValidationError

from agents.activity import SYSTEM
from agents.runtime.tools.registry import Toolbox
from boards.models import MemoryEntry
from executions import actions, tool_decisions
from executions.engine import claim as claims
from executions.engine import ends
from executions.engine.claim import Batch
from executions.engine.sweep import sweep
from executions.engine.toolcalls import digest
from executions.errors import ExecutionState, Superseded
from executions.models import Condition, Entry, Event, Execution, Status, ToolCall
from tests.executions.carrying import claimed, drive
from tests.executions.holding import ADA, ONE, calls_of, held_run, lose_worker, only_call
from tests.executions.kinds import told
from tests.factories import make_board, make_organization, make_seat
from tests.processes import ended, wait_until, worker
from tests.starting import a_board, a_run, an_agent, an_organization, tool

pytestmark = pytest.mark.django_db(transaction=True)


def approve(call: ToolCall, arguments: dict[str, Any] | None = None) -> None:
    tool_decisions.approve(call, by=ADA, arguments=arguments)


def last_result(run: Execution) -> str:
    """What the model was told of the last call."""
    results = Entry.objects.filter(execution=run, type="tool_result")
    return str(results.latest("position").content["text"])


def assert_done(run: Execution) -> None:
    run.refresh_from_db()
    assert (run.status, run.output) == (Status.COMPLETED, "done"), run.failure_message
    seqs = list(Event.objects.filter(execution=run).values_list("seq", flat=True))
    assert seqs == list(range(1, run.event_seq + 1))


# --- decided -----------------------------------------------------------------------------------


def test_an_approved_call_runs_once_and_the_run_goes_on() -> None:
    run = held_run()
    call = only_call(run)
    assert (run.status, call.status, call.runs) == (Status.WAITING, "awaiting_approval", 0)
    assert (run.admitted_epoch, run.claim_id) == (None, None)
    approve(call)
    drive(run)
    call = only_call(run)
    assert_done(run)
    assert (call.status, call.runs, call.decision) == ("complete", 1, "approved")
    assert (call.decider_kind, call.decider_name, call.edited_arguments) == ("member", "Ada", None)
    assert call.decided_digest == call.arguments_digest == digest(call.arguments)
    assert call.output.count("one") == 1
    assert told(run) == [
        "execution.queued",
        "execution.started",
        "execution.turn",
        "approval.requested",
        "execution.waiting",
        "approval.approved",
        "execution.queued",
        "execution.resumed",
        "tool.started",
        "tool.finished",
        "execution.checkpoint",
        "execution.turn",
        "execution.completed",
    ]
    asked, decided = Event.objects.filter(execution=run, type__startswith="approval.")
    assert asked.data == {"tool_call": str(call.id), "call_id": call.call_id, "name": "Bash"}
    assert decided.data == {**asked.data, "edited": False, "by": "Ada"}


def test_a_rejected_call_does_not_run_and_the_model_is_told_why() -> None:
    run = held_run()
    tool_decisions.reject(only_call(run), by=ADA, reason="Not on a Friday.")
    drive(run)
    assert_done(run)
    call = only_call(run)
    assert (call.status, call.runs, call.decision) == ("denied", 0, "rejected")
    assert call.decision_reason == "Not on a Friday."
    assert last_result(run) == "A person refused this call: Not on a Friday."
    assert "tool.started" not in told(run)
    assert told(run).count("tool.denied") == 1


def test_an_edited_call_runs_as_edited_and_all_are_told() -> None:
    run = held_run()
    asked = only_call(run).arguments
    approve(only_call(run), {"command": "echo two"})
    drive(run)
    assert_done(run)
    call = only_call(run)
    assert (call.status, call.runs, call.arguments) == ("complete", 1, asked)
    assert call.edited_arguments == {"command": "echo two"}
    assert call.decided_digest == digest({"command": "echo two"})
    assert "two" in call.output
    assert "one" not in call.output
    heard = last_result(run)
    assert heard.startswith("A person changed the arguments of this call before it ran: ")
    assert json.dumps({"command": "echo two"}) in heard


def test_what_is_edited_is_confined_like_everything() -> None:
    run = held_run(tool("Write", path="a", content="x"), approval_required=["Write"])
    approve(only_call(run), {"path": "../../escaped", "content": "x"})
    drive(run)
    assert_done(run)
    assert only_call(run).status == "error"


def test_the_same_arguments_again_are_no_edit() -> None:
    run = held_run()
    approve(only_call(run), dict(only_call(run).arguments))
    assert only_call(run).edited_arguments is None


# --- which calls -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "agent", "status"),
    [
        (tool("Bash", command="x"), {"tools": ["Read"]}, "denied"),
        (tool("Bash", comand="x"), {}, "error"),
        (tool("Bosh", command="x"), {"approval_required": ["*"]}, "error"),
    ],
    ids=["not allowed", "arguments that do not fit", "no such tool"],
)
def test_what_cannot_run_is_asked_of_nobody(
    call: dict[str, Any], agent: dict[str, Any], status: str
) -> None:
    run = held_run(call, **agent)
    assert_done(run)
    assert (only_call(run).status, only_call(run).needs_approval) == (status, False)
    assert "approval.requested" not in told(run)


def test_only_what_fits_a_pattern_is_held() -> None:
    pushes = [{"tool": "Bash", "arguments": {"command": "*git push*"}}]
    run = held_run(
        tool("Bash", command="echo git"),
        tool("Bash", command="true && GIT\n push"),
        approval_required=pushes,
    )
    assert run.status == Status.WAITING
    assert [call.status for call in calls_of(run)] == ["complete", "awaiting_approval"]


def test_calls_of_one_reply_are_asked_for_at_once_and_run_in_their_order() -> None:
    reply = {
        "tools": [
            {"name": "Write", "input": {"path": "log", "content": "0"}},
            {"name": "Bash", "input": {"command": "echo 1 >> log"}},
            {"name": "Bash", "input": {"command": "echo 2 >> log"}},
            {"name": "Bash", "input": {"command": "echo 3 >> log; cat log"}},
        ]
    }
    run = held_run(reply)
    free, first, second, third = calls_of(run)
    held = "awaiting_approval"
    assert [call.status for call in (free, first, second, third)] == ["complete", held, held, held]
    assert Condition.objects.get(execution=run).target_id == first.id
    # Decided out of order: the first is what it waits for.
    approve(third)
    tool_decisions.reject(second, by=ADA, reason="No.")
    run.refresh_from_db()
    assert run.status == Status.WAITING
    approve(first)
    drive(run)
    assert_done(run)
    assert [call.status for call in calls_of(run)] == ["complete", "complete", "denied", "complete"]
    assert "01\n3\n" in calls_of(run)[3].output
    assert told(run).count("execution.waiting") == 1


def test_each_of_several_is_waited_for_where_none_is_decided_before() -> None:
    two = [{"name": "Bash", "input": {"command": f"echo {n}"}} for n in range(2)]
    run = held_run({"tools": two})
    for call in calls_of(run):
        run.refresh_from_db()
        assert run.status == Status.WAITING
        approve(call)
        drive(run)
    assert_done(run)


# --- an approval is for these arguments, and for once ------------------------------------------


@pytest.mark.parametrize("is_edited", [False, True])
def test_an_approval_whose_arguments_change_afterwards_is_not_used(*, is_edited: bool) -> None:
    run = held_run()
    approve(only_call(run), {"command": "echo two"} if is_edited else None)
    column = "edited_arguments" if is_edited else "arguments"
    ToolCall.objects.update(**{column: {"command": "echo stolen"}})
    drive(run)
    assert_done(run)
    assert (only_call(run).status, only_call(run).runs) == ("denied", 0)
    assert "no longer those that a person approved" in last_result(run)


def a_claimed_call() -> tuple[claims.Claim, ToolCall]:
    run = held_run()
    approve(only_call(run))
    return claimed(run), only_call(run)


def start(claim: claims.Claim, call: ToolCall, digest: str) -> int:
    return claims.start_call(claim, call.id, may_repeat=True, facts={}, digest=digest)


@pytest.mark.parametrize("given", ["", digest({"command": "echo stolen"})])
def test_no_start_uses_an_approval_of_other_arguments(given: str) -> None:
    claim, call = a_claimed_call()
    with pytest.raises(Superseded):
        start(claim, call, given)
    call.refresh_from_db()
    assert (call.status, call.runs) == ("awaiting_approval", 0)


@pytest.mark.parametrize("decision", ["", "rejected"])
def test_no_start_goes_without_an_approval(decision: str) -> None:
    claim, call = a_claimed_call()
    at = None if not decision else call.decided_at
    ToolCall.objects.update(decision=decision, decided_at=at)
    with pytest.raises(Superseded):
        start(claim, call, call.decided_digest)


@pytest.mark.parametrize("status", ["running", "complete", "error", "unknown"])
def test_the_database_has_no_call_that_ran_without_its_approval(status: str) -> None:
    claim, call = a_claimed_call()
    start(claim, call, call.decided_digest)
    taken_back = ToolCall.objects.filter(pk=call.pk)
    with pytest.raises(IntegrityError, match="runs_with_it"), transaction.atomic():
        taken_back.update(status=status, decision="", decided_at=None)


@pytest.mark.parametrize("is_edited", [False, True])
def test_an_approval_is_bound_to_what_the_database_gives_back(*, is_edited: bool) -> None:
    """A number that Python writes in one way and PostgreSQL in another."""
    far = {"path": "a", "offset": 1e22}
    run = held_run(tool("Read", **far), approval_required=["Read"])
    approve(only_call(run), {**far, "path": "b"} if is_edited else None)
    drive(run)
    assert only_call(run).runs == 1


# --- workers die -------------------------------------------------------------------------------


def test_a_worker_that_dies_before_it_has_suspended_loses_no_question(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Died(BaseException):
        pass

    def die(*given: Any) -> bool:
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(ends, "suspend", die)
        with pytest.raises(Died):
            held_run()
    run = Execution.objects.get()
    assert (run.status, only_call(run).status) == (Status.RUNNING, "awaiting_approval")
    # It can be decided already; or the next worker waits for it.
    approve(only_call(run))
    lose_worker(run)
    drive(run)
    assert_done(run)
    assert (only_call(run).runs, run.recoveries) == (1, 1)
    assert told(run).count("approval.requested") == 1
    assert "execution.waiting" not in told(run)


def test_a_worker_that_dies_after_the_decision_uses_nothing_of_it() -> None:
    claim, _ = a_claimed_call()
    run = claim.execution
    lose_worker(run)
    drive(run)
    assert_done(run)
    assert (only_call(run).status, only_call(run).runs) == ("complete", 1)


@pytest.mark.parametrize("name", ["Bash", "Read"])
def test_an_approval_is_used_up_by_a_start_whatever_came_of_it(name: str) -> None:
    """`Read` could be repeated, if it were not held."""
    arguments = {"Bash": {"command": "echo one"}, "Read": {"path": "a"}}[name]
    run = held_run(tool(name, **arguments), approval_required=[name])
    approve(only_call(run))
    claim = claimed(run)
    start(claim, only_call(run), only_call(run).decided_digest)
    lose_worker(run)
    drive(run)
    assert_done(run)
    assert (only_call(run).status, only_call(run).runs) == ("unknown", 1)


def test_a_killed_worker_and_the_next_one_share_a_call() -> None:
    run = a_run(an_agent(approval_required=["Bash"]), ONE, {"say": "done"})
    waiting = Execution.objects.filter(pk=run.pk, status=Status.WAITING)
    with worker() as first:
        wait_until(waiting.exists)
        first.kill()
    approve(only_call(run))
    with worker():
        wait_until(lambda: ended(run))
    assert_done(run)
    call = only_call(run)
    assert (call.status, call.runs, call.output.count("one")) == ("complete", 1, 1)


# --- while it waits ----------------------------------------------------------------------------


def test_who_waits_holds_no_slot_however_long() -> None:
    organization = an_organization()
    board = a_board(organization, max_concurrent=1)
    agent = an_agent(organization, approval_required=["Bash"])
    run = a_run(agent, ONE, {"say": "done"}, board=board)
    drive(run)
    other = a_run(agent, {"say": "quick"}, board=board)
    drive(other)
    assert other.status == Status.COMPLETED
    a_day = timedelta(days=1)
    with connection.cursor() as cursor:
        for table, columns in {
            "executions_execution": ("queued_at", "started_at", "rank"),
            "executions_toolcall": ("created_at",),
            "executions_event": ("created_at",),
        }.items():
            moved = ", ".join(f"{column} = {column} - %s" for column in columns)
            cursor.execute(f"UPDATE {table} SET {moved}", [a_day] * len(columns))  # noqa: S608
    sweep()
    run.refresh_from_db()
    assert (run.status, only_call(run).status) == (Status.WAITING, "awaiting_approval")
    approve(only_call(run))
    drive(run)
    assert_done(run)


def test_a_decision_while_it_is_paused_is_kept_for_its_resume() -> None:
    run = held_run()
    actions.pause(run, by=ADA)
    approve(only_call(run))
    run.refresh_from_db()
    assert run.status == Status.PAUSED
    actions.resume(run, by=ADA)
    drive(run)
    assert_done(run)


def test_resumed_undecided_it_waits_on() -> None:
    run = held_run()
    actions.pause(run, by=ADA)
    actions.resume(run, by=ADA, feedback="Mind the gap.")
    run.refresh_from_db()
    assert run.status == Status.WAITING
    approve(only_call(run))
    drive(run)
    assert_done(run)


def test_a_decision_on_a_later_call_while_an_earlier_one_runs_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = Toolbox.carry_out

    def call(self: Toolbox, request: Any, workspace: Any) -> Any:
        if request.name == "Write":
            approve(ToolCall.objects.get(name="Bash"))
        return original(self, request, workspace)

    monkeypatch.setattr(Toolbox, "carry_out", call)
    write = {"name": "Write", "input": {"path": "a", "content": "x"}}
    run = held_run({"tools": [write, {"name": "Bash", "input": {"command": "cat a"}}]})
    assert_done(run)
    assert "execution.waiting" not in told(run)


@pytest.mark.parametrize("is_approved", [False, True])
def test_an_end_withdraws_what_it_waited_for(*, is_approved: bool) -> None:
    run = held_run()
    if is_approved:
        approve(only_call(run))
    actions.cancel(run, by=ADA)
    call = only_call(run)
    assert (call.status, call.runs, call.finished_at is None) == ("interrupted", 0, False)
    assert call.decision == ("approved" if is_approved else "")
    assert "ended before this call was run" in call.output
    assert not Condition.objects.exists()
    if not is_approved:
        with pytest.raises(ExecutionState, match="does not wait"):
            approve(call)


def test_a_deadline_that_passes_withdraws_it_too() -> None:
    run = held_run(wish={"deadline_seconds": 3600})
    Execution.objects.update(deadline_at=run.created_at - timedelta(days=1))
    sweep()
    run.refresh_from_db()
    assert (run.failure_code, only_call(run).status) == ("TIMED_OUT", "interrupted")


def test_a_run_that_is_being_cancelled_lets_nobody_decide() -> None:
    two = [{"name": "Bash", "input": {"command": f"echo {n}"}} for n in range(2)]
    run = held_run({"tools": two})
    first, second = calls_of(run)
    approve(first)
    claim = claimed(run)
    actions.cancel(run, by=ADA)
    with pytest.raises(ExecutionState, match="cancelling"):
        approve(second)
    ends.cancelled(claim)
    assert [call.status for call in calls_of(run)] == ["interrupted", "interrupted"]


def test_a_retry_and_a_fork_ask_for_themselves() -> None:
    run = held_run(tool("Read", path="none"), ONE)
    fork = actions.fork(run, checkpoint=1, by=ADA)
    drive(fork)
    actions.cancel(run, by=ADA)
    again = actions.retry(run, by=ADA)
    drive(again)
    for other in (fork, again):
        call = calls_of(other)[-1]
        assert (other.status, call.status) == (Status.WAITING, "awaiting_approval")
        approve(call)
        drive(other)
        assert_done(other)
    assert [call.status for call in calls_of(run)] == ["error", "interrupted"]


def test_a_pause_that_is_asked_for_on_the_way_is_not_lost() -> None:
    run = held_run()
    approve(only_call(run))
    claim = claimed(run)
    actions.pause(run, by=ADA)
    ends.give_up(claim, Batch())
    run.refresh_from_db()
    assert run.status == Status.PAUSED
    actions.resume(run, by=SYSTEM)
    drive(run)
    assert_done(run)


def test_a_call_of_a_board_tool_is_edited_as_any_other() -> None:
    board = make_board(make_organization())
    name = "agent_board_memory_record"
    agent = make_seat(board, model="scripted:play", tools=[name], approval_required=[name])
    run = a_run(agent, tool(name, content="Ship it."), {"say": "done"}, board=board)
    drive(run)
    call = only_call(run)
    with pytest.raises(ValidationError, match="words"):
        approve(call, {"words": "Wait."})
    approve(call, {"content": "Wait."})
    drive(run)
    assert_done(run)
    assert MemoryEntry.objects.get(board=board).content == "Wait."
