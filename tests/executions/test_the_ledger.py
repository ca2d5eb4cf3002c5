"""Every tool call is in the ledger with its outcome, which the API and the admin show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from agents.activity import SYSTEM
from agents.clock import ClockTimestamp
from agents.models import Agent, Organization, Role, User
from agents.runtime.facts import ToolRequest
from agents.runtime.tools import catalogue
from agents.runtime.tools.registry import Interrupted, Workspace, parameters
from executions import actions
from executions.engine.sweep import sweep
from executions.models import Execution, Status, ToolCall
from tests.executions.carrying import drive
from tests.factories import client_of, counted_queries, make_agent, make_organization
from tests.starting import a_run, tool

pytestmark = pytest.mark.django_db(transaction=True)

HOOKS = "agents.runtime.ready_hooks"
TODO = {"content": "Look", "status": "in_progress"}


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, settings: Any) -> None:
    settings.SIGNALBOX_WORK_DIR = tmp_path / "work"


class Held:
    """A tool that is stopped by the engine as soon as it has begun."""

    name = "Held"
    description = "Wait."
    parameters = parameters({})
    repeatable = uses_files = changes_files = False

    def run(self, arguments: Any, workspace: Workspace) -> str:
        raise Interrupted("half of it")


@pytest.fixture(autouse=True)
def _held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(catalogue.TOOLS, "Held", Held())


def an_agent_with(organization: Organization, **fields: Any) -> Agent:
    given = {"model": "scripted:play", "tools": ["TodoWrite", "Held"], "max_concurrency": None}
    return make_agent(organization, **given | fields)


def path(execution: Execution, of: str = "") -> str:
    return f"/api/v0/executions/agents/{execution.id}{of}"


def calls(api: APIClient, execution: Execution, **asked: str) -> list[dict[str, Any]]:
    answer = api.get(path(execution, "/tool-calls"), asked)
    assert answer.status_code == 200, answer.content
    return answer.json()["results"]


def events(api: APIClient, execution: Execution) -> list[tuple[str, str]]:
    found = api.get(path(execution, "/events")).json()["results"]
    return [
        (event["type"], event["data"].get("outcome", ""))
        for event in found
        if event["type"].startswith("tool.")
    ]


def test_every_outcome_is_in_the_ledger_with_its_event(
    api: APIClient, organization: Organization
) -> None:
    run = a_run(
        an_agent_with(organization),
        tool("TodoWrite", todos=[TODO]),
        tool("TodoWrite", todos=[TODO, TODO]),
        tool("TodoWrite", todo="unfit"),
        tool("Bash", command="ls"),
        tool("Fly"),
        tool("Held"),
        {"say": "done"},
    )
    drive(run)
    assert run.status == Status.COMPLETED
    kept = [(call["name"], call["status"], call["runs"]) for call in calls(api, run)]
    assert kept == [
        ("TodoWrite", "complete", 1),
        ("TodoWrite", "error", 1),
        ("TodoWrite", "error", 0),
        ("Bash", "denied", 0),
        ("Fly", "error", 0),
        ("Held", "interrupted", 1),
    ]
    assert events(api, run) == [
        ("tool.started", ""),
        ("tool.finished", "complete"),
        ("tool.started", ""),
        ("tool.finished", "error"),
        ("tool.finished", "error"),
        ("tool.denied", "denied"),
        ("tool.finished", "error"),
        ("tool.started", ""),
        ("tool.interrupted", "interrupted"),
    ]


def test_a_call_whose_worker_was_lost_is_unknown_and_not_made_again(
    api: APIClient, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dies(BaseException):
        """The process ends here."""

    def die(*given: Any) -> str:
        raise Dies

    run = a_run(an_agent_with(organization), tool("Held"), {"say": "done"})
    with monkeypatch.context() as patched:
        patched.setattr(Held, "run", die)
        with pytest.raises(Dies):
            drive(run)
    Execution.objects.filter(pk=run.pk).update(lease_expires_at=ClockTimestamp())
    sweep()
    drive(run)
    assert [call["status"] for call in calls(api, run)] == ["unknown"]
    assert events(api, run) == [("tool.started", ""), ("tool.finished", "unknown")]


def test_calls_are_found_by_status_and_name(api: APIClient, organization: Organization) -> None:
    run = a_run(
        an_agent_with(organization),
        tool("TodoWrite", todos=[]),
        tool("Bash", command="ls"),
        tool("Held"),
        {"say": "done"},
    )
    drive(run)
    assert [call["name"] for call in calls(api, run, status="denied")] == ["Bash"]
    both = calls(api, run, status="complete,interrupted")
    assert [call["name"] for call in both] == ["TodoWrite", "Held"]
    assert [call["status"] for call in calls(api, run, name="Held")] == ["interrupted"]
    assert calls(api, run, name="Held", status="denied") == []
    for code, wrong in ((422, {"status": "complete,maybe"}), (400, {"tool": "Bash"})):
        assert api.get(path(run, "/tool-calls"), wrong).status_code == code


def test_the_admin_finds_calls_by_status_and_tool(
    client: Client, organization: Organization
) -> None:
    run = a_run(
        an_agent_with(organization), tool("TodoWrite", todos=[TODO]), tool("Held"), {"say": "done"}
    )
    drive(run)
    client.force_login(User.objects.create_superuser(username="root"))
    page = reverse("admin:executions_toolcall_changelist")

    def shown(**asked: str) -> set[str]:
        return {call.name for call in client.get(page, asked).context["cl"].result_list}

    assert shown() == {"TodoWrite", "Held"}
    assert shown(name="Held") == shown(status__exact="interrupted") == {"Held"}
    one = client.get(reverse("admin:executions_execution_change", args=[run.pk]))
    assert "in progress: Look" in one.content.decode()


# --- hooks --------------------------------------------------------------------------------------


def test_a_hook_denies_with_its_reason_and_the_call_never_ran(
    api: APIClient, organization: Organization
) -> None:
    agent = an_agent_with(
        organization, tools=["Bash"], hooks={"pre_tool": [f"{HOOKS}:keep_remotes"]}
    )
    run = a_run(agent, tool("Bash", command="git push origin main"), {"say": "done"})
    drive(run)
    (call,) = calls(api, run)
    assert (call["status"], call["runs"], call["started_at"]) == ("denied", 0, None)
    assert "pushing is left to people" in call["output"]
    assert events(api, run) == [("tool.denied", "denied")]


def test_a_hook_changes_what_is_kept_and_shown(api: APIClient, organization: Organization) -> None:
    agent = an_agent_with(organization, hooks={"post_tool": [f"{HOOKS}:mask_addresses"]})
    todo = {"content": "Write to jo@team.example", "status": "pending"}
    run = a_run(agent, tool("TodoWrite", todos=[todo]), {"say": "done"})
    drive(run)
    assert "Write to [address]" in calls(api, run)[0]["output"]


def test_hooks_are_frozen_with_the_start(api: APIClient, organization: Organization) -> None:
    agent = an_agent_with(
        organization, tools=["Bash"], hooks={"pre_tool": [f"{HOOKS}:keep_remotes"]}
    )
    run = a_run(agent, tool("Bash", command="git push"), {"say": "done"})
    Agent.objects.filter(pk=agent.pk).update(hooks={})
    drive(run)
    assert [call["status"] for call in calls(api, run)] == ["denied"]


@pytest.mark.parametrize("stage", ["pre_tool", "post_tool"])
def test_a_hook_that_is_gone_denies(
    api: APIClient, organization: Organization, settings: Any, stage: str
) -> None:
    agent = an_agent_with(organization, hooks={stage: [f"{HOOKS}:mask_addresses"]})
    run = a_run(agent, tool("TodoWrite", todos=[TODO]), {"say": "done"})
    settings.SIGNALBOX_MODULES = []
    drive(run)
    assert [call["status"] for call in calls(api, run)] == ["denied"]
    assert run.status == Status.COMPLETED


def test_a_worker_lost_in_a_hook_leaves_the_call_to_be_made(
    api: APIClient, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not repeatable is made all the same: it is known that it never began."""

    class Dies(BaseException):
        """The process ends here."""

    def dies(request: ToolRequest, workspace: Workspace) -> str | None:
        raise Dies

    agent = an_agent_with(organization, hooks={"pre_tool": [f"{HOOKS}:keep_remotes"]})
    run = a_run(agent, tool("Held"), {"say": "done"})
    with monkeypatch.context() as patched:
        dies.__module__ = HOOKS
        patched.setattr(f"{HOOKS}.keep_remotes", dies)
        with pytest.raises(Dies):
            drive(run)
    assert ToolCall.objects.get().status == "prepared"
    Execution.objects.filter(pk=run.pk).update(lease_expires_at=ClockTimestamp())
    sweep()
    drive(run)
    assert [(call["status"], call["runs"]) for call in calls(api, run)] == [("interrupted", 1)]


def test_an_execution_without_an_agent_has_hooks_too(organization: Organization) -> None:
    order = {"model": "scripted:echo", "prompt": "x", "hooks": {"pre_tool": ["os:system"]}}
    admin = client_of(organization, Role.ADMIN)
    answer = admin.post("/api/v0/executions/agents", order)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "hooks"
    order["hooks"] = {"pre_tool": [f"{HOOKS}:keep_remotes"]}
    started = admin.post("/api/v0/executions/agents", order)
    assert started.status_code == 202, started.content
    assert Execution.objects.get().spec["hooks"] == order["hooks"]


# --- the list -----------------------------------------------------------------------------------


def todos_of(api: APIClient, execution: Execution) -> Any:
    return api.get(path(execution)).json().get("todos")


def test_the_document_shows_the_list_as_last_written(
    api: APIClient, organization: Organization
) -> None:
    done = [TODO | {"status": "completed"}]
    run = a_run(
        an_agent_with(organization),
        tool("TodoWrite", todos=[TODO]),
        tool("TodoWrite", todos=done),
        tool("TodoWrite", todos=[TODO, TODO]),
        {"say": "done"},
    )
    assert todos_of(api, run) is None
    drive(run)
    assert todos_of(api, run) == done
    listed = api.get("/api/v0/executions/agents").json()["results"]
    assert "todos" not in listed[0]


def test_a_fork_has_the_list_of_its_past_until_it_writes_its_own(
    api: APIClient, organization: Organization
) -> None:
    first, second = [TODO], [TODO | {"status": "completed"}]
    run = a_run(
        an_agent_with(organization),
        tool("TodoWrite", todos=first),
        tool("TodoWrite", todos=second),
        {"say": "done"},
    )
    drive(run)
    fork = actions.fork(run, checkpoint=1, by=SYSTEM)
    assert todos_of(api, fork) == first
    drive(fork)  # It plays the second turn itself.
    ToolCall.objects.filter(execution=fork).update(arguments={"todos": []})
    assert todos_of(api, fork) == []
    assert todos_of(api, run) == second
    assert todos_of(api, actions.fork(run, checkpoint=2, by=SYSTEM)) == second


def test_a_list_of_another_organization_is_not_shown(organization: Organization) -> None:
    run = a_run(an_agent_with(organization), tool("TodoWrite", todos=[TODO]), {"say": "done"})
    drive(run)
    stranger = client_of(make_organization())
    assert stranger.get(path(run)).status_code == 404
    assert stranger.get(path(run, "/tool-calls")).status_code == 404


def test_lists_of_executions_look_for_no_todos(api: APIClient, organization: Organization) -> None:
    run = a_run(an_agent_with(organization), tool("TodoWrite", todos=[TODO]), {"say": "done"})
    drive(run)
    with counted_queries() as queries:
        api.get("/api/v0/executions/agents")
    assert not any("executions_toolcall" in each["sql"] for each in queries)
