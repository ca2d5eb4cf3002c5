"""A secret of a board or of the server is in no row, no hint and no line of the log."""

from __future__ import annotations

import base64
import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.conf import settings
from django.db import connection
from structlog.stdlib import ProcessorFormatter

from agents.activity import SYSTEM
from agents.models import Role
from agents.redis import client
from agents.runtime.context import AgentContext, Spawn
from agents.runtime.facts import ModelRequest
from agents.runtime.jobs import CurrentJob, job
from agents.runtime.kinds import agent_kind
from agents.runtime.scripted import register_script
from agents.runtime.scripts import Turn, turns_so_far
from boards.models import Board
from executions import actions, signals, worktrees
from executions.configuration import Wish
from executions.models import Entry, Event, Execution, Job, Signal, Status, ToolCall, Worktree
from tests.executions.carrying import claimed, drive
from tests.executions.holding import at, held_run, only_call
from tests.executions.kinds import begun
from tests.executions.repositories import a_repository
from tests.executions.scheduling import tried
from tests.factories import API, client_of
from tests.model_server import ModelServer
from tests.model_wire import Answer
from tests.starting import a_board, an_agent, an_organization

pytestmark = pytest.mark.django_db(transaction=True)

# With a blank, so that a scripted model says it in two pieces.
VALUE = "s3cr3t:W1th 0dd=Ch4rs+x"
MARK = "[redacted:TOKEN]"
_RAW = VALUE.encode()
FORMS = [
    VALUE,
    *VALUE.split(),
    quote(VALUE),
    quote(VALUE, safe=""),
    _RAW.hex(),
    base64.b64encode(_RAW).decode()[:-4],
    base64.b64encode(b"u:" + _RAW).decode()[4:-4],
]


@pytest.fixture(autouse=True)
def _work(tmp_path: Path, settings: Any) -> None:
    settings.SIGNALBOX_WORK_DIR = tmp_path / "work"
    # Nobody renews it here, and a busy machine takes its time.
    settings.EXECUTION_LEASE = timedelta(seconds=60)


@pytest.fixture
def board(tmp_path: Path) -> Board:
    repository = a_repository(tmp_path / "repository")
    return a_board(
        an_organization(), repository=str(repository), environment={"TOKEN": VALUE, "CI": "1"}
    )


class Heard:
    """What was published and logged meanwhile."""

    def __init__(self) -> None:
        self.hints: list[dict[str, str]] = []
        self.log = ""

    def pieces(self, run: Execution) -> list[dict[str, Any]]:
        """The parts of its text. What others tell Redis meanwhile is heard too."""
        mine = [json.loads(hint["data"]) for hint in self.hints if str(run.id) in hint["channel"]]
        return [piece for piece in mine if piece.get("kind") == "text"]


@contextmanager
def listening() -> Iterator[Heard]:
    """Everything that Redis is told, and every line that a worker would write."""
    heard, lines = Heard(), io.StringIO()
    told = client().pubsub(ignore_subscribe_messages=True)
    told.psubscribe("*")
    told.get_message(timeout=2)
    handler = logging.StreamHandler(lines)
    ours = settings.LOGGING["formatters"]["line"]
    handler.setFormatter(ProcessorFormatter(**{k: v for k, v in ours.items() if k != "()"}))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield heard
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        while (message := told.get_message(timeout=0.2)) is not None:
            heard.hints.append(message)
        told.close()
        heard.log = lines.getvalue()


def rows() -> Iterator[tuple[str, str]]:
    """Every row of every table as text, without what a board is configured with."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            hidden = {"boards_board": "environment", "executions_execution": "spec"}.get(table, "")
            cursor.execute(f'SELECT to_jsonb(t) - %s FROM "{table}" AS t', [hidden])  # noqa: S608
            for (row,) in cursor.fetchall():
                yield table, row if isinstance(row, str) else json.dumps(row)


def leaks(heard: Heard, forms: list[str] = FORMS) -> list[str]:
    """Where a secret is found all the same."""
    found = [f"{table}: {row}" for table, row in rows() if any(form in row for form in forms)]
    found += [f"hint: {hint}" for hint in heard.hints if any(f in str(hint) for f in forms)]
    return found + [f"log: {form}" for form in forms if form in heard.log]


# --- a conversation -------------------------------------------------------------------------------

_SAYS_SO = f"It is {VALUE} , which begins with s3"
_TURNS = (
    # A model cannot know it; but if it did, nobody would hear it from there either.
    Turn(say=_SAYS_SO, tools=(("Bash", {"command": f"echo '{VALUE}' | wc -c"}),), delay=0.6),
    Turn(tools=(("Bash", {"command": 'echo "$TOKEN"; env; export -p; echo "$TOKEN" >&2; false'}),)),
    Turn(
        tools=(
            ("Bash", {"command": 'printf %s "${TOKEN:0:9}"; sleep 0.3; printf %s "${TOKEN:9}"'}),
            ("Bash", {"command": 'printf %s "$TOKEN" | base64; printf "u:%s" "$TOKEN" | base64'}),
            ("Bash", {"command": "python3 -c 'import os; print(os.environb[b\"TOKEN\"].hex())'"}),
            ("Bash", {"command": "python3 -c 'import os; raise Exception(os.environ[\"TOKEN\"])'"}),
            ("Bash", {"command": 'echo hi > "$TOKEN.txt"; echo "key = $TOKEN" > config; ls'}),
        )
    ),
    Turn(
        tools=(
            ("Glob", {"pattern": "*"}),
            ("Grep", {"pattern": "key"}),
            ("Read", {"path": "config"}),
            ("Read", {"path": f"no/{VALUE}"}),
            ("Edit", {"path": "config", "old_string": f"no {VALUE}", "new_string": VALUE}),
            ("Nothing", {"arguments": [VALUE, {VALUE: 1}]}),
        )
    ),
    Turn(say=f"Done with {VALUE}."),
)  # fmt: skip


def _tells_it(request: ModelRequest) -> Turn:
    return _TURNS[turns_so_far(request)]


register_script("t.tells-it", _tells_it)


def test_a_conversation_that_prints_it_in_every_way_leaves_no_trace(board: Board) -> None:
    agent = an_agent(board.organization, model="scripted:t.tells-it")
    with listening() as heard:
        run = actions.start(agent, Wish(prompt="Tell me.", board=board), by=SYSTEM)
        drive(run)
    assert (run.status, run.output) == (Status.COMPLETED, f"Done with {MARK}.")
    assert leaks(heard) == []
    outputs = list(ToolCall.objects.filter(execution=run).values_list("output", flat=True))
    # The first model call's arguments, and two files' names that have no secret, tell nothing.
    assert sum(MARK in output for output in outputs) >= 9, outputs
    said = heard.pieces(run)
    text = "".join(piece["token"] for piece in said if piece["turn"] == 1)
    assert (text, len(said) > 2) == (_SAYS_SO.replace(VALUE, MARK), True)


def test_the_diff_that_people_read_has_neither_content_nor_names(board: Board) -> None:
    agent = an_agent(board.organization, model="scripted:t.tells-it")
    run = actions.start(agent, Wish(prompt="Tell me.", board=board), by=SYSTEM)
    drive(run)
    assert run.diff is not None
    assert [file["path"] for file in run.diff["files"]] == ["config", f"{MARK}.txt"]
    assert f"+key = {MARK}" in run.diff["patch"]
    # What is merged is what was written.
    names = [file["additions"] for file in run.diff["files"]]
    assert names == [1, 1]


def test_what_set_up_prints_is_clean_where_it_fails(board: Board) -> None:
    Board.objects.filter(pk=board.pk).update(
        setup_command='echo "with $TOKEN"; printf %s "$TOKEN" | base64; exit 7'
    )
    board.refresh_from_db()
    agent = an_agent(board.organization, model="scripted:t.tells-it")
    with listening() as heard:
        run = actions.start(agent, Wish(prompt="Tell me.", board=board), by=SYSTEM)
        drive(run)
    assert (run.status, run.failure_code) == (Status.FAILED, "WORKTREE_SETUP_FAILED")
    assert f"with {MARK}" in Worktree.objects.get(execution=run).error
    assert leaks(heard) == []


@pytest.mark.parametrize("copied", [[], [f"../{VALUE}"]])
def test_what_goes_wrong_with_a_worktree_is_told_without_it(
    board: Board, copied: list[str]
) -> None:
    Board.objects.filter(pk=board.pk).update(setup_command="x", copied_files=copied)
    board.refresh_from_db()
    run = begun(an_agent(board.organization), board=board, prompt="x")
    claim = claimed(run)
    with pytest.raises(worktrees.WorktreeError):
        worktrees.prepare(run, claim.claim_id, run_setup=lambda *_: (1, f"no {VALUE}"))
    assert "redacted:TOKEN" in Worktree.objects.get(execution=run).error
    assert VALUE not in Worktree.objects.get(execution=run).error


# --- what comes from elsewhere ----------------------------------------------------------------


def test_what_models_say_together_that_none_can_answer_has_none_of_it(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "not-a-real-key")
    # Of a message so much is kept that it ends in the middle of the value.
    long = f"{'x' * 460} {VALUE}"
    with ModelServer() as server, listening() as heard:
        server.plan(Answer(status=500, error={"message": long}), Answer(status=503))
        agent = an_agent(
            board.organization,
            model="openai:first",
            model_settings={
                "base_url": server.openai_url,
                "retries": 0,
                "fallback_models": [{"model": "anthropic:second", "base_url": server.url}],
            },
        )
        run = actions.start(agent, Wish(prompt="Hi.", board=board), by=SYSTEM)
        drive(run)
    assert run.failure_code == "MODEL_ERROR"
    assert f"x {MARK}; anthropic:second: " in run.failure_message
    assert leaks(heard, [VALUE[:6]]) == []


def _held(board: Board) -> ToolCall:
    return only_call(held_run(organization=board.organization, wish={"board": board}))


def test_the_reason_of_a_refused_call_is_kept_and_told_without_it(board: Board) -> None:
    call = _held(board)
    with listening() as heard:
        answer = client_of(board.organization, Role.OPERATOR).post(
            at(call, "reject"), {"reason": f"Not with {VALUE}!"}
        )
        assert answer.status_code == 200, answer.content
        drive(call.execution)
    assert answer.json()["decision_reason"] == f"Not with {MARK}!"
    assert Event.objects.get(type="approval.rejected").data["reason"] == f"Not with {MARK}!"
    assert leaks(heard) == []


@pytest.mark.parametrize(
    "arguments", [{"command": f"curl -u '{VALUE}' x"}, {"command": "true", VALUE: "x"}]
)
def test_a_call_is_not_approved_with_a_secret_in_its_arguments(
    board: Board, arguments: dict[str, str]
) -> None:
    call = _held(board)
    caller = client_of(board.organization, Role.OPERATOR)
    with listening() as heard:
        answer = caller.post(at(call, "approve"), {"arguments": arguments})
    assert answer.status_code == 422
    assert "the value of TOKEN" in str(answer.json()["errors"])
    assert leaks(heard) == []
    call.refresh_from_db()
    assert (call.decision, call.edited_arguments) == ("", None)
    # Its name does what was meant.
    named = {"command": 'test "$TOKEN" && echo has it'}
    assert caller.post(at(call, "approve"), {"arguments": named}).status_code == 200
    drive(call.execution)
    call.refresh_from_db()
    assert "has it" in call.output


# --- code -----------------------------------------------------------------------------------------


@job("t.tells-it", max_retries=0)
def _a_job(value: Any, this: CurrentJob) -> str:
    this.progress(f"at {VALUE}")
    logging.getLogger("t.job").warning("given %s", VALUE)
    if value == "fail":
        raise ValueError(f"not {VALUE}")
    return f"made of {VALUE}"


@agent_kind("t.tells-it")
def _a_kind(context: AgentContext) -> dict[str, str]:
    if context.prompt.startswith("child"):
        raise ValueError(f"for {VALUE}")
    context.append_entry("said", f"said {VALUE}")
    call = context.append_tool_call("call", "Look", {"at": VALUE, VALUE: ["x"]})
    context.append_tool_result("result", call, f"saw {VALUE}")
    stepped = context.step("step", lambda: {"of": VALUE})
    assert stepped == context.step("step", lambda: None) == {"of": MARK}
    context.checkpoint("kept", {"at": VALUE})
    assert context.state == {"at": MARK}
    context.stream_token("a " + VALUE[:10])
    context.stream_token(VALUE[10:] + " b s3")
    context.stream_progress(f"at {VALUE}")
    context.stream_data({VALUE: [VALUE]})
    context.stream_error(f"no {VALUE}")
    jobs = [
        context.schedule_job(f"job-{given[:4]}", "t.tells-it", given) for given in (VALUE, "fail")
    ]
    child = context.spawn("child", Spawn(prompt=f"child {VALUE}", values={"of": VALUE}))
    context.signal_child("signal", child, "told", {"of": VALUE})
    context.join_all_settled("joined", jobs)
    heard = context.wait_for_signal("heard", "hear")
    assert heard is not None
    assert heard.value == MARK
    context.ask_approval("ask", action_type="go", reason=f"For {VALUE}", payload={"of": VALUE})
    context.stream_token("the end s3")
    return {"ended with": VALUE}


def test_code_that_shows_it_everywhere_leaves_no_trace(board: Board) -> None:
    agent = an_agent(board.organization, kind="t.tells-it")
    with listening() as heard:
        run = begun(agent, board=board)
        drive(run)
        for each in Job.objects.filter(execution=run).order_by("key"):
            tried(each)
        for child in Execution.objects.filter(parent=run):
            drive(child)
        drive(run)
        signals.send(run, name="hear", value=VALUE, by=SYSTEM)
        drive(run)
        # What a person sends is theirs, and stays; what comes of it is the run's.
        Signal.objects.filter(execution=run).delete()
    assert run.status == Status.WAITING
    asked = client_of(board.organization, Role.OPERATOR)
    found = asked.get(f"{API}/boards/{board.id}/approvals").json()["results"][0]
    assert (found["reason"], found["payload"]) == (f"For {MARK}", {"of": MARK})
    asked.patch(f"{API}/boards/{board.id}/approvals/{found['id']}", {"status": "approved"})
    with listening() as later:
        drive(run)
    assert (run.status, run.output) == (Status.COMPLETED, {"ended with": MARK})
    heard.hints += later.hints
    heard.log += later.log
    assert leaks(heard) == []
    text = "".join(piece["token"] for piece in heard.pieces(run))
    assert text.startswith(f"a {MARK} b s3")
    assert text.endswith("the end s3")
    assert f"given {MARK}" in heard.log
    assert f"not {MARK}" in heard.log
    failed = Execution.objects.get(parent=run)
    assert failed.failure_message == f"ValueError: for {MARK}"
    assert failed.input["prompt"] == f"child {MARK}"


def test_a_run_hears_what_it_is_told_without_it(board: Board) -> None:
    agent = an_agent(board.organization, model="scripted:echo")
    run = actions.start(agent, Wish(prompt="Hi.", board=board), by=SYSTEM)
    signals.send_message(run, f"Try {VALUE}!", by=SYSTEM)
    drive(run)
    heard = Entry.objects.get(execution=run, type="injection")
    assert heard.content["text"] == f"Try {MARK}!"


def test_feedback_to_a_paused_run_is_told_without_it(board: Board) -> None:
    agent = an_agent(board.organization, model="scripted:echo")
    run = actions.start(agent, Wish(prompt="Hi.", board=board), by=SYSTEM)
    actions.pause(run, by=SYSTEM)
    actions.resume(run, by=SYSTEM, feedback=f"Try {VALUE}!")
    heard = Entry.objects.get(execution=run, type="injection")
    assert heard.content["text"] == f"Try {MARK}!"


# --- the server's own -----------------------------------------------------------------------------


@agent_kind("t.tells-of-the-server")
def _of_the_server(context: AgentContext) -> str:
    context.append_entry(
        "said", f"{settings.SECRET_KEY} {settings.DATABASE_URL} {settings.REDIS_URL}"
    )
    raise ValueError("no key sk-thisisthekeyofamodel, and no re9os1tory")


def test_what_the_server_knows_is_no_secret_of_a_board_and_not_shown_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sk-thisisthekeyofamodel")
    organization = an_organization()
    board = a_board(organization, repository="https://me:re9os1tory@example.org/r.git")
    with listening() as heard:
        run = begun(an_agent(organization, kind="t.tells-of-the-server"), board=board)
        drive(run)
    assert (
        run.failure_message
        == "ValueError: no key [redacted:SOME_API_KEY], and no [redacted:REPOSITORY]"
    )
    said = Entry.objects.filter(execution=run).latest("position").content["text"]
    assert said.startswith("[redacted:SECRET_KEY] postgres")
    assert ":[redacted:DATABASE_URL]@" in said
    assert leaks(heard, ["sk-thisisthekeyofamodel", settings.SECRET_KEY]) == []


def test_a_board_shows_the_names_of_its_variables_and_no_values(board: Board) -> None:
    run = begun(an_agent(board.organization), board=board, prompt="x")
    for role in (Role.VIEWER, Role.OWNER):
        api = client_of(board.organization, role)
        shown = api.get(f"{API}/boards/{board.id}")
        assert shown.json()["environment_names"] == ["CI", "TOKEN"]
        status = api.get(f"{API}/executions/agents/{run.id}")
        assert status.status_code == 200
        for answer in (
            shown,
            status,
            api.get(f"{API}/boards"),
            api.get(f"{API}/executions/agents"),
        ):
            assert VALUE not in answer.content.decode()


def test_events_do_not_change_where_there_is_nothing_secret(board: Board) -> None:
    Board.objects.filter(pk=board.pk).update(
        environment={"MODE": "completed", "N": "1", "T": "true"}
    )
    board.refresh_from_db()
    agent = an_agent(board.organization, model="scripted:echo")
    run = actions.start(agent, Wish(prompt="completed 1 true", board=board), by=SYSTEM)
    drive(run)
    assert run.output == "completed 1 true"
    assert Event.objects.filter(execution=run).latest("seq").type == "execution.completed"
