"""The admin of approvals, labels, memory, onboarding and webhooks."""

from itertools import count

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse

from agents.activity import SYSTEM, Actor
from agents.models import Activity, ActorKind, LiveWork, User
from agents.sealing import unseal
from boards.actions import ApprovalRequest, ask_approval, occurrences, remember
from boards.actions.custom_fields import create_field, set_values
from boards.actions.labels import create_tag
from boards.actions.onboarding import start_onboarding
from boards.actions.webhooks import create_webhook
from boards.drafts import EXAMPLE
from boards.models import (
    Approval,
    Comment,
    CustomField,
    Dependency,
    MemoryEntry,
    Move,
    NudgeSchedule,
    OnboardingSession,
    PayloadState,
    Tag,
    Webhook,
    WebhookPayload,
)
from tests.boards.nudging import make_schedule, nudges_of, without_defaults
from tests.factories import counted_queries, make_board, make_organization, make_seat, make_task

pytestmark = pytest.mark.django_db
_numbers = count(1)


@pytest.fixture
def root():
    return User.objects.create_superuser(username="root")


@pytest.fixture
def admin(client, root):
    client.force_login(root)
    return client


@pytest.fixture
def organization():
    return make_organization()


def page(model, view="changelist", *of):
    return reverse(f"admin:boards_{model}_{view}", args=of)


def said(response):
    return [str(message) for message in get_messages(response.wsgi_request)]


def _field(board):
    fields = {"key": f"f{next(_numbers)}", "name": "F", "boards": [board.id]}
    return create_field(board.organization, fields, by=SYSTEM)


def _value(board):
    field, task = _field(board), make_task(board)
    set_values(task, {field.key: "x"}, is_new=False)
    return task.custom_field_values.get()


def _approval(board):
    return ask_approval(board, ApprovalRequest("x", "y", (make_task(board).id,)), by=SYSTEM)


def _payload(board):
    webhook = create_webhook(board, {"name": "w"}, by=SYSTEM)
    return WebhookPayload.objects.create(webhook=webhook, body="ha" * 20_000)


def _of_task(model, **fields):
    return lambda board: model.objects.create(task=make_task(board), **fields)


MADE = {
    "tag": lambda board: create_tag(board.organization, {"name": f"t{next(_numbers)}"}, by=SYSTEM),
    "customfield": _field,
    "customfieldvalue": _value,
    "approval": _approval,
    "approvaltask": lambda board: _approval(board).links.get(),
    "memoryentry": lambda board: remember(board, "owls", by=SYSTEM),
    "onboardingsession": lambda board: start_onboarding(make_board(board.organization), by=SYSTEM),
    "webhook": lambda board: create_webhook(board, {"name": "w"}, by=SYSTEM),
    "webhookpayload": _payload,
    "nudgeschedule": make_schedule,
    "occurrence": lambda board: occurrences.run_now(make_schedule(board), by=SYSTEM),
    "comment": _of_task(Comment, content="c", author_kind="system"),
    "move": _of_task(Move, before="inbox", after="done", actor_kind="system"),
    "dependency": lambda board: Dependency.objects.create(
        task=make_task(board), on=make_task(board)
    ),
}
WRITTEN = {"tag", "customfield", "webhook", "nudgeschedule"}


@pytest.mark.parametrize("model", MADE)
def test_pages_of_a_model_load(admin, organization, model):
    row = MADE[model](make_board(organization))
    for path in (page(model) + "?q=a", page(model, "change", row.pk)):
        assert admin.get(path).status_code == 200
    assert admin.get(page(model, "add")).status_code == (200 if model in WRITTEN else 403)
    removable = model in {*WRITTEN, "memoryentry"}
    answer = admin.get(page(model, "delete", row.pk))
    assert answer.status_code == (200 if removable else 403)


@pytest.mark.parametrize("model", MADE)
def test_a_list_costs_the_same_for_more_rows(admin, organization, model):
    board, costs = make_board(organization), []
    for _ in range(2):
        for _ in range(10):
            MADE[model](board)
        with counted_queries() as queries:
            assert admin.get(page(model)).status_code == 200
        costs.append(len(queries))
    assert costs[1] <= costs[0]


def test_approvals_are_decided_by_the_actions(admin, root, organization):
    board = make_board(organization)
    rows = {name: _approval(board) for name in ("approve", "reject", "withdraw")}
    for name, row in rows.items():
        admin.post(page("approval"), {"action": name, "_selected_action": [row.pk]})
    statuses = [Approval.objects.get(pk=row.pk).status for row in rows.values()]
    assert statuses == ["approved", "rejected", "withdrawn"]
    own = ask_approval(
        board, ApprovalRequest("x", "y"), by=Actor(ActorKind.MEMBER, root.pk, "root")
    )
    both = {"action": "approve", "_selected_action": [own.pk, rows["reject"].pk]}
    refused = " ".join(said(admin.post(page("approval"), both)))
    assert "does not decide" in refused
    assert "no longer pending" in refused
    assert Approval.objects.get(pk=own.pk).status == "pending"


def test_onboardings_are_decided_by_the_actions(admin, organization):
    boards = {name: make_board(organization) for name in ("confirm", "take_over", "cancel")}
    drafted = {"status": "completed", "draft": EXAMPLE}
    for board, fields in zip(boards.values(), (drafted, {}, drafted), strict=True):
        OnboardingSession.objects.create(board=board, **fields)
    for name, board in boards.items():
        chosen = {"action": name, "_selected_action": [board.onboarding_sessions.get().pk]}
        admin.post(page("onboardingsession"), chosen)
    found = [board.onboarding_sessions.get() for board in boards.values()]
    assert [row.status for row in found] == ["confirmed", "active", "cancelled"]
    assert (found[0].lead.name, found[1].interviewer) == ("Olga", "built_in")
    asked = page("onboardingsession", "change", found[1].pk)
    assert "What is this board for?" in admin.get(asked).content.decode()
    shown = admin.get(page("onboardingsession", "change", found[0].pk)).content.decode()
    for words in ("Count the barn owls", "barns visited", "require_review_before_done"):
        assert words in shown
    late = {"action": "confirm", "_selected_action": [found[1].pk, found[2].pk]}
    refused = " ".join(said(admin.post(page("onboardingsession"), late)))
    assert "there is no draft yet" in refused
    assert "no onboarding session" in refused


def test_tags_and_custom_fields_are_written_by_the_actions(admin, organization):
    board = make_board(organization)
    form = {"organization": organization.id, "name": "Owl", "color": "ffffff"}
    assert admin.post(page("tag", "add"), form).status_code == 302
    tag = Tag.objects.get()
    assert (tag.slug, tag.color) == ("owl", "ffffff")
    assert "has this slug" in said(admin.post(page("tag", "add"), form))[-1]
    wrong = admin.post(page("tag", "add"), {**form, "color": "red"})
    assert "color" in wrong.context["adminform"].form.errors
    form = {
        "organization": organization.id,
        "key": "k",
        "name": "K",
        "type": "text",
        "default": "null",
        "ui_visibility": "always",
        "boards": [board.id],
    }
    response = admin.post(page("customfield", "add"), form)
    assert response.status_code == 302, response.context["errors"]
    field = CustomField.objects.get()
    assert list(field.boards.all()) == [board]
    change = page("customfield", "change", field.pk)
    assert admin.post(change, {**form, "boards": []}).status_code == 302
    assert not field.boards.exists()
    types = Activity.objects.filter(type__startswith="custom_field.").order_by("id")
    assert [line.type for line in types] == ["custom_field.created", "custom_field.updated"]


def test_webhooks_and_memory_are_written_by_the_actions(admin, organization):
    board = make_board(organization)
    form = {"board": board.id, "name": "W", "is_enabled": "on"}
    assert admin.post(page("webhook", "add"), form).status_code == 302
    webhook = Webhook.objects.get()
    change = page("webhook", "change", webhook.pk)
    assert admin.post(change, {"name": "V"}).status_code == 302
    webhook.refresh_from_db()
    assert (webhook.name, webhook.is_enabled) == ("V", False)
    assert admin.post(page("webhook", "delete", webhook.pk), {"post": "yes"}).status_code == 302
    entry = remember(board, "x", by=SYSTEM)
    assert admin.post(page("memoryentry", "delete", entry.pk), {"post": "yes"}).status_code == 302
    assert not MemoryEntry.objects.exists()
    types = Activity.objects.filter(board_id=board.id).order_by("id").values_list("type", flat=True)
    assert list(types)[1:] == [
        "webhook.created",
        "webhook.updated",
        "webhook.deleted",
        "memory.created",
        "memory.deleted",
    ]


def test_schedules_are_written_and_run_by_the_actions(admin, organization):
    board = without_defaults(make_board(organization))
    agent, other = make_seat(board), make_seat(board)
    form = {
        "organization": organization.id,
        "name": "S",
        "is_enabled": "on",
        "agents": [agent.pk],
        "crontab": "0 9 * * *",
        "time_zone": "Europe/Berlin",
        "condition": "always",
        "cool_down_minutes": "60",
        "message": "Go on.",
        "occurrences-TOTAL_FORMS": 0,
        "occurrences-INITIAL_FORMS": 0,
    }
    answer = admin.post(page("nudgeschedule", "add"), form)
    assert answer.status_code == 302, answer.context["errors"]
    schedule = NudgeSchedule.objects.get()
    assert (list(schedule.agents.all()), schedule.next_run_at is not None) == ([agent], True)
    wrong = admin.post(page("nudgeschedule", "add"), {**form, "crontab": "x"})
    assert "crontab" in wrong.context["adminform"].form.errors
    wrong = admin.post(page("nudgeschedule", "add"), {**form, "cool_down_minutes": "2000000000"})
    assert "a year at most" in str(wrong.context["adminform"].form.errors)
    wrong = admin.post(page("nudgeschedule", "add"), {**form, "message": "x" * 10_001})
    assert "message" in wrong.context["adminform"].form.errors
    assert (
        "one of the two"
        in said(admin.post(page("nudgeschedule", "add"), {**form, "board": board.pk}))[-1]
    )
    change = page("nudgeschedule", "change", schedule.pk)
    assert admin.post(change, {**form, "agents": [agent.pk, other.pk]}).status_code == 302
    chosen = {"action": "run_now", "_selected_action": [schedule.pk]}
    assert "Schedules run: 1." in said(admin.post(page("nudgeschedule"), chosen))
    assert nudges_of(agent, other) == [1, 1]
    assert admin.post(change, {**form, "is_enabled": ""}).status_code == 302
    schedule.refresh_from_db()
    assert (schedule.is_enabled, schedule.next_run_at) == (False, None)


def test_of_a_long_payload_the_beginning_is_shown(admin, organization):
    row = _payload(make_board(organization))
    shown = admin.get(page("webhookpayload", "change", row.pk)).content.decode()
    assert "ha" * 5_000 + "…" in shown
    assert "ha" * 5_001 not in shown


def test_a_webhook_is_made_and_its_secret_is_shown_once(admin):
    board = make_board(make_organization())
    place = reverse("admin:boards_webhook_add")
    asked = {"board": board.pk, "name": "GitHub", "is_enabled": "on", "start_prompt": ""}
    answer = admin.post(place, asked)

    webhook = Webhook.objects.get()
    secret = unseal(webhook.sealed_secret)
    assert secret in " ".join(str(told) for told in get_messages(answer.wsgi_request))
    where = reverse("admin:boards_webhook_change", args=[webhook.pk])
    assert secret in admin.get(where).content.decode()
    page = admin.get(where)
    assert f"/api/v0/hooks/{webhook.pk}" in page.content.decode()
    assert secret not in page.content.decode()
    refused = admin.post(place, {**asked, "start_prompt": "{{ paylod }}"})
    assert "There is no paylod" in refused.content.decode()


def test_a_secret_of_a_webhook_is_changed(admin):
    webhook = create_webhook(make_board(make_organization()), {"name": "w"}, by=SYSTEM)
    asked = {"action": "change_secret", "_selected_action": [webhook.pk]}
    answer = admin.post(reverse("admin:boards_webhook_changelist"), asked)

    changed = Webhook.objects.get()
    assert changed.sealed_secret != webhook.sealed_secret
    assert unseal(changed.sealed_secret) in " ".join(
        str(told) for told in get_messages(answer.wsgi_request)
    )


def test_a_payload_is_started_again(admin):
    board = make_board(make_organization())
    agent = make_seat(board)
    fields = {"name": "w", "start_agent": agent, "start_prompt": "Sort {{ payload }}."}
    webhook = create_webhook(board, fields, by=SYSTEM)
    payload = WebhookPayload.objects.create(
        webhook=webhook, body="owls", state=PayloadState.FAILED, problem="no"
    )
    asked = {"action": "start", "_selected_action": [payload.pk]}
    admin.post(reverse("admin:boards_webhookpayload_changelist"), asked)
    admin.post(reverse("admin:boards_webhookpayload_changelist"), asked)

    assert LiveWork.objects.filter(agent=agent).count() == 1
    payload.refresh_from_db()
    assert (payload.state, payload.problem) == (PayloadState.STARTED, "")
