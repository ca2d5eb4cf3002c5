"""A fork goes on from a checkpoint with the past, files, turns and state; nothing is copied."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from agents.activity import SYSTEM
from agents.models import Activity, Agent, LiveWork, Organization, Role
from agents.runtime import kinds
from agents.runtime.context import AgentContext
from agents.runtime.facts import Role as MessageRole
from agents.runtime.kinds import agent_kind
from executions import actions
from executions.configuration import Wish
from executions.models import (
    Checkpoint,
    Entry,
    Event,
    Execution,
    PauseReason,
    Status,
    Step,
    ToolCall,
    Worktree,
)
from tests.executions.asking import conforms, refused
from tests.executions.carrying import drive
from tests.factories import (
    all_at_once,
    client_of,
    counted_queries,
    make_agent,
    make_organization,
    make_task_for,
)
from tests.starting import script, tool

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/api/v0/executions/agents"


@pytest.fixture(autouse=True)
def _work(tmp_path: Path, settings: Any) -> None:
    settings.SIGNALBOX_WORK_DIR = tmp_path / "work"


@pytest.fixture
def writer(organization: Organization) -> Agent:
    return make_agent(organization, model="scripted:play", tools=["*"], max_concurrency=None)


def written(agent: Agent, *names: str, **wish: Any) -> Execution:
    """A run that has ended, which wrote a file a turn; each turn has its checkpoint."""
    turns = [tool("Write", path=name, content=name) for name in names]
    prompt = script(*turns, {"say": "done"})
    run = actions.start(agent, Wish(prompt=prompt, **wish), by=SYSTEM)
    drive(run)
    assert run.status == Status.COMPLETED, run.failure_message
    return run


def checkpointed(agent: Agent, *positions: int, **wish: Any) -> Execution:
    """A queued run with a checkpoint at each of these positions, and entries up to there."""
    run = actions.start(agent, Wish(prompt="Do it.", **wish), by=SYSTEM)
    for position in range(2, max(positions) + 1):
        Entry.objects.create(
            execution=run,
            position=position,
            turn=1,
            type="llm_call",
            role="assistant",
            content={"text": f"{position}"},
        )
    for sequence, position in enumerate(positions, start=1):
        Checkpoint.objects.create(
            execution=run,
            sequence=sequence,
            position=position,
            turn=sequence,
            state={"seen": sequence},
        )
    Execution.objects.filter(pk=run.pk).update(
        position=max(positions), turn=len(positions), checkpoint=len(positions)
    )
    run.refresh_from_db()
    return run


def fork(api: APIClient, run: Execution, checkpoint: Any, key: str = "", **more: Any) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    return api.post(f"{LIST}/{run.id}/fork", {"checkpoint": checkpoint, **more}, headers=headers)


def forked(answer: Any) -> Execution:
    assert answer.status_code == 202, answer.content
    return Execution.objects.get(pk=answer.json()["exec_id"])


def entries(api: APIClient, run: Execution, **query: Any) -> list[dict[str, Any]]:
    answer = api.get(f"{LIST}/{run.id}/entries", query)
    assert answer.status_code == 200, answer.content
    rows: list[dict[str, Any]] = answer.json()["results"]
    return rows


# --- what is shared ----------------------------------------------------------------------------


def test_a_fork_runs_on_from_the_checkpoint_with_its_files(api: APIClient, writer: Agent) -> None:
    run = written(writer, "a.txt", "b.txt", "c.txt")
    before = list(Entry.objects.order_by("id").values_list("id", flat=True))

    other = forked(fork(api, run, 2))
    assert list(Entry.objects.order_by("id").values_list("id", flat=True)) == before
    drive(other)

    assert (other.status, other.output) == (Status.COMPLETED, "done"), other.failure_message
    assert other.turn == run.turn == 4
    assert other.diff["files"] == run.diff["files"]
    assert [file["path"] for file in other.diff["files"]] == ["a.txt", "b.txt", "c.txt"]
    calls = ToolCall.objects.filter(execution=other).values_list("name", "turn")
    assert list(calls) == [("Write", 3)]
    # The whole line, past included: as if it had been one run.
    shown = entries(api, other)
    assert [row["position"] for row in shown] == [row["position"] for row in entries(api, run)]
    assert [row["content"] for row in shown] == [row["content"] for row in entries(api, run)]
    at = Checkpoint.objects.get(execution=run, sequence=2).position
    assert [row["execution"] for row in shown] == [str(run.id)] * at + [str(other.id)] * (
        len(shown) - at
    )
    # Each entry names the one before it, also across the fork.
    assert [row["parent_id"] for row in shown] == [None, *(row["id"] for row in shown[:-1])]
    sequences = Checkpoint.objects.filter(execution=other).values_list("sequence", flat=True)
    assert list(sequences) == [2, 3]


def test_a_fork_before_a_file_does_not_have_it(api: APIClient, writer: Agent) -> None:
    run = written(writer, "a.txt", "b.txt")
    told = script(
        tool("Write", path="a.txt", content="a.txt"),
        tool("Write", path="x.txt", content="x"),
        {"say": "otherwise"},
    )
    Entry.objects.filter(execution=run, position=1).update(content={"text": told})

    other = forked(fork(api, run, 1))
    drive(other)

    assert other.output == "otherwise", other.failure_message
    assert [file["path"] for file in other.diff["files"]] == ["a.txt", "x.txt"]
    # The original's work is as it was.
    run.refresh_from_db()
    assert [file["path"] for file in run.diff["files"]] == ["a.txt", "b.txt"]
    trees = Worktree.objects.filter(execution__in=[run, other])
    assert len({row.branch for row in trees}) == 2
    assert len({row.repository for row in trees}) == 1


def test_a_fork_of_a_fork_goes_on_with_the_files_of_both(api: APIClient, writer: Agent) -> None:
    run = written(writer, "a.txt", "b.txt", "c.txt")
    between = forked(fork(api, run, 1))
    drive(between)
    # At a checkpoint of its own, and at the one that it shares.
    own, shared = forked(fork(api, between, 2)), forked(fork(api, between, 1))
    for other in (own, shared):
        assert other.forked_from == between
        drive(other)
        assert other.output == "done", other.failure_message
        assert len(other.diff["files"]) == 3
        positions = [row["position"] for row in entries(api, other)]
        assert positions == list(range(1, len(positions) + 1))
    assert {row["execution"] for row in entries(api, own)} == {
        str(each.id) for each in (run, between, own)
    }
    assert {row["execution"] for row in entries(api, shared)} == {str(run.id), str(shared.id)}


def test_the_input_of_a_fork_is_its_first_entry(
    api: APIClient, organization: Organization, agent: Agent
) -> None:
    run = checkpointed(agent, 3, 5)
    answer = fork(api, run, 1, input="Try it without the cache.")
    other = forked(answer)
    assert answer.headers["Location"] == f"{LIST}/{other.id}"
    own = Entry.objects.get(execution=other)
    last = Entry.objects.get(execution=run, position=3)
    assert (own.position, own.parent_id, own.role) == (4, last.id, "user")
    assert own.content == {"text": "Try it without the cache."}
    assert (other.fork_position, other.position, other.turn) == (3, 4, 1)
    assert other.input == {"prompt": "Do it.", "continuation": "Try it without the cache."}
    (checkpoint,) = Checkpoint.objects.filter(execution=other)
    assert (checkpoint.sequence, checkpoint.position, checkpoint.state) == (1, 3, {"seen": 1})
    events = Event.objects.filter(execution=other).values_list("seq", "type", "data")
    facts = {"forked_from": str(run.id), "checkpoint": 1}
    assert list(events) == [(1, "execution.forked", facts), (2, "execution.queued", {})]
    line = Activity.objects.get(execution_id=other.id)
    assert (line.type, line.data["forked_from"]) == ("execution.forked", str(run.id))
    document = api.get(answer.headers["Location"]).json()
    assert document["forked_from"] == str(run.id)
    schema = api.get("/api/v0/schema/", {"format": "json"}).json()
    conforms(schema, "Execution", document)
    for row in entries(api, other):
        conforms(schema, "Entry", row)


def test_feedback_and_the_last_word_of_a_fork_follow_its_past(api: APIClient, agent: Agent) -> None:
    other = forked(fork(api, checkpointed(agent, 3), 1))
    last = Entry.objects.get(position=3)
    actions.pause(other, by=SYSTEM)
    actions.resume(other, by=SYSTEM, feedback="Be brief.")
    said = Entry.objects.get(execution=other)
    assert (said.position, said.parent_id) == (4, last.id)
    Execution.objects.filter(pk=other.pk).update(
        status=Status.PAUSED, pause_reason=PauseReason.TURN_LIMIT, admitted_epoch=None
    )
    assert actions.finish(other, by=SYSTEM).output == "3"


def test_finished_steps_of_the_past_are_remembered_and_later_ones_are_not(
    api: APIClient, agent: Agent
) -> None:
    run = checkpointed(agent, 3, 5)
    at = Checkpoint.objects.get(execution=run, sequence=1).created_at
    steps = {"before": at - timedelta(seconds=1), "after": at + timedelta(seconds=1), "open": None}
    for key, finished_at in steps.items():
        Step.objects.create(
            execution=run,
            key=key,
            kind="step",
            digest="d",
            result={"n": 1},
            finished_at=finished_at,
        )
    other = forked(fork(api, run, 1))
    (step,) = Step.objects.filter(execution=other)
    assert (step.key, step.digest, step.result, step.finished_at) == (
        "before",
        "d",
        {"n": 1},
        steps["before"],
    )
    Step.objects.create(
        execution=other, key="own", kind="step", digest="d", finished_at=timezone.now()
    )
    third = forked(fork(api, other, 1))
    assert [step.key for step in Step.objects.filter(execution=third)] == ["before"]


def test_agent_code_goes_on_from_its_state_and_repeats_nothing(
    api: APIClient, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds, "_kinds", dict(kinds._kinds))
    done: list[str] = []

    @agent_kind("t.branching")
    def branching(context: AgentContext) -> dict[str, Any]:
        context.step("first", lambda: done.append("first"))
        context.append_entry("said", "once", role=MessageRole.USER)
        context.checkpoint("one", {"n": 1})
        context.step("second", lambda: done.append("second"))
        context.checkpoint("two", {"n": context.state["n"] + 1})
        return {"n": context.state["n"], "said": [message.content for message in context.messages]}

    agent = make_agent(organization, kind="t.branching", max_concurrency=None)
    run = actions.start(agent, Wish(values={"a": 1}), by=SYSTEM)
    drive(run)
    assert run.output == {"n": 2, "said": ["once"]}, run.failure_message
    other = forked(fork(api, run, 1, input="Again."))
    drive(other)
    assert other.output == {"n": 2, "said": ["once", "Again."]}, other.failure_message
    assert done == ["first", "second", "second"]
    sequences = Checkpoint.objects.filter(execution=other).values_list("sequence", flat=True)
    assert list(sequences) == [1, 2]

    agent_kind("t.branching", version="2")(branching)
    afresh = forked(api.post(f"{LIST}/{run.id}/retry"))
    assert (afresh.kind_version, afresh.input) == ("2", {"with": {"a": 1}})
    assert not Entry.objects.filter(execution=afresh).exists()
    assert forked(api.post(f"{LIST}/{other.id}/retry")).kind_version == "1"


def test_a_retried_fork_begins_where_it_was_forked(api: APIClient, agent: Agent) -> None:
    run = checkpointed(agent, 3, 5)
    other = forked(fork(api, run, 1, input="Again."))
    Step.objects.create(
        execution=other, key="own", kind="step", digest="d", finished_at=timezone.now()
    )
    actions.cancel(other, by=SYSTEM)
    answer = api.post(f"{LIST}/{other.id}/retry")
    again = forked(answer)
    assert (again.retry_of, again.forked_from) == (other, run)
    assert (again.fork_position, again.turn, again.checkpoint) == (3, 1, 1)
    assert [row["content"]["text"] for row in entries(api, again)] == ["Do it.", "2", "3", "Again."]
    assert Checkpoint.objects.get(execution=again).state == {"seen": 1}
    assert not Step.objects.filter(execution=again).exists()


def test_a_retried_fork_knows_what_its_past_did_whatever_clock_made_it(
    api: APIClient, agent: Agent
) -> None:
    run = checkpointed(agent, 3)
    ahead = timezone.now() + timedelta(minutes=1)  # PostgreSQL's clock is before the process's.
    Checkpoint.objects.filter(execution=run).update(created_at=ahead)
    Step.objects.create(execution=run, key="past", kind="step", digest="d", finished_at=ahead)
    other = forked(fork(api, run, 1))
    actions.cancel(other, by=SYSTEM)
    again = forked(api.post(f"{LIST}/{other.id}/retry"))
    assert [step.key for step in Step.objects.filter(execution=again)] == ["past"]


# --- which, and whose --------------------------------------------------------------------------


def test_a_live_one_is_forked_beside_it_without_its_task(
    api: APIClient, organization: Organization, agent: Agent
) -> None:
    task = make_task_for(agent)
    run = checkpointed(agent, 2, board=task.board, task=task)
    other = forked(fork(api, run, 1))
    assert (other.board, other.task) == (task.board, None)
    run.refresh_from_db()
    assert run.status == Status.QUEUED

    actions.cancel(run, by=SYSTEM)
    answers = all_at_once(*(partial(fork, api, run, 1, key) for key in "abc"))
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409]
    heir = Execution.objects.get(task=task, status=Status.QUEUED)
    assert LiveWork.objects.get(task_id=task.id).execution_id == heir.id
    problem = refused(fork(api, run, 1, "d"), 409, "AGENT_ALREADY_RUNNING")
    assert problem["current_execution_id"] == str(heir.id)


@pytest.mark.parametrize("checkpoint", [3, 2**31 - 1])
def test_a_checkpoint_that_is_not_there_is_404(
    api: APIClient, agent: Agent, checkpoint: int
) -> None:
    run = checkpointed(agent, 2, 3)
    problem = refused(fork(api, run, checkpoint), 404, "CHECKPOINT_NOT_FOUND")
    assert (problem["checkpoint"], problem["latest"]) == (checkpoint, 2)
    refused(api.get(f"{LIST}/{run.id}/checkpoints/{checkpoint}"), 404, "CHECKPOINT_NOT_FOUND")
    assert Execution.objects.count() == 1


@pytest.mark.parametrize("body", [{}, {"checkpoint": 0}, {"checkpoint": "1"}, {"checkpoint": None}])
def test_a_fork_names_its_checkpoint(api: APIClient, agent: Agent, body: Any) -> None:
    run = checkpointed(agent, 2)
    answer = api.post(f"{LIST}/{run.id}/fork", body)
    problem = refused(answer, 422, "VALIDATION_FAILED")
    assert [error["field"] for error in problem["errors"]] == ["checkpoint"]


def test_a_fork_with_a_key_starts_once(api: APIClient, agent: Agent) -> None:
    run = checkpointed(agent, 2, 3)
    first, second = fork(api, run, 1, "k"), fork(api, run, 1, "k")
    assert first.json()["exec_id"] == second.json()["exec_id"]
    problem = refused(fork(api, run, 2, "k"), 422, "IDEMPOTENCY_MISMATCH")
    assert problem["exec_id"] == first.json()["exec_id"]
    assert Execution.objects.filter(forked_from=run).count() == 1


def test_nobody_else_forks_it_or_sees_its_line(
    api: APIClient, organization: Organization, agent: Agent
) -> None:
    run = checkpointed(agent, 2)
    other = forked(fork(api, run, 1))
    refused(fork(client_of(organization, Role.VIEWER), run, 1), 403, "ROLE_TOO_LOW")
    stranger = client_of(make_organization())
    refused(fork(stranger, run, 1), 404, "NOT_FOUND")
    for tail in ("entries", "checkpoints/1", "children"):
        refused(stranger.get(f"{LIST}/{other.id}/{tail}"), 404, "NOT_FOUND")
    mine = checkpointed(make_agent(stranger_organization := make_organization()), 2)
    leaf = Entry.objects.filter(execution=run).first()
    assert leaf is not None
    answer = client_of(stranger_organization).get(f"{LIST}/{mine.id}/entries", {"leaf": leaf.id})
    refused(answer, 422, "VALIDATION_FAILED")


# --- reading the line --------------------------------------------------------------------------


def test_a_line_is_read_from_a_position_to_a_leaf_in_pages(api: APIClient, agent: Agent) -> None:
    run = checkpointed(agent, 4)
    other = forked(fork(api, run, 1, input="On."))
    leaf = Entry.objects.get(execution=run, position=3)
    assert [row["position"] for row in entries(api, other)] == [1, 2, 3, 4, 5]
    assert [row["position"] for row in entries(api, other, after=3)] == [4, 5]
    assert [row["position"] for row in entries(api, other, leaf=leaf.id)] == [1, 2, 3]
    assert [row["position"] for row in entries(api, other, leaf=leaf.id, after=1)] == [2, 3]
    assert entries(api, other, leaf=leaf.id, after=3) == []
    own = Entry.objects.get(execution=other)
    assert len(entries(api, other, leaf=own.id)) == 5
    for unknown in (own.id, uuid4()):
        answer = api.get(f"{LIST}/{run.id}/entries", {"leaf": str(unknown)})
        refused(answer, 422, "VALIDATION_FAILED")
    page = api.get(f"{LIST}/{other.id}/entries", {"limit": 3}).json()
    assert [row["position"] for row in page["results"]] == [1, 2, 3]
    page = api.get(page["next"]).json()
    assert [row["position"] for row in page["results"]] == [4, 5]
    page = api.get(page["previous"]).json()
    assert [row["position"] for row in page["results"]] == [1, 2, 3]


def test_a_checkpoint_is_read_with_its_state(api: APIClient, agent: Agent) -> None:
    run = checkpointed(agent, 2, 3)
    document = api.get(f"{LIST}/{run.id}/checkpoints/2").json()
    assert (document["sequence"], document["position"], document["state"]) == (2, 3, {"seen": 2})
    schema = api.get("/api/v0/schema/", {"format": "json"}).json()
    conforms(schema, "CheckpointState", document)
    (first, _) = api.get(f"{LIST}/{run.id}/checkpoints").json()["results"]
    assert "state" not in first


def test_a_line_costs_the_same_however_long_and_branched_it_is(
    api: APIClient, agent: Agent
) -> None:
    run, costs = checkpointed(agent, 2), []
    for depth in range(4):
        api.get(f"{LIST}/{run.id}/entries")
        with counted_queries() as asked:
            assert len(entries(api, run)) == 2 + depth
        costs.append(len(asked))
        run = forked(fork(api, run, 1, input="On."))
        Checkpoint.objects.filter(execution=run).update(position=run.position)
    assert len(set(costs)) == 1
