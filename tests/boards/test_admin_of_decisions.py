"""The admin of approvals, labels, memory, onboarding and webhooks."""

from itertools import count

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse

from agents.activity import SYSTEM, Actor
from agents.models import Activity, ActorKind, User
from boards.actions import ApprovalRequest, ask_approval, remember
from boards.actions.custom_fields import create_field, set_values
from boards.actions.labels import create_tag
from boards.actions.onboarding import start_onboarding
from boards.actions.webhooks import create_webhook
from boards.models import (
    Approval,
    Comment,
    CustomField,
    Dependency,
    MemoryEntry,
    Move,
    Tag,
    Webhook,
    WebhookPayload,
)
from tests.factories import counted_queries, make_board, make_organization, make_task

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
    "comment": _of_task(Comment, content="c", author_kind="system"),
    "move": _of_task(Move, before="inbox", after="done", actor_kind="system"),
    "dependency": lambda board: Dependency.objects.create(
        task=make_task(board), on=make_task(board)
    ),
}
WRITTEN = {"tag", "customfield", "webhook"}


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


def test_of_a_long_payload_the_beginning_is_shown(admin, organization):
    row = _payload(make_board(organization))
    shown = admin.get(page("webhookpayload", "change", row.pk)).content.decode()
    assert "ha" * 5_000 + "…" in shown
    assert "ha" * 5_001 not in shown
