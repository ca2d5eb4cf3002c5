"""The menu of the admin leads to what one works with, as far as one may see it."""

import re

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from tests.factories import make_user

pytestmark = pytest.mark.django_db
LISTS = re.compile(r'href="(/admin/[a-z]+/[a-z]+/)"')


def test_everything_in_the_menu_opens(admin_client: Client) -> None:
    page = admin_client.get("/admin/boards/task/").content.decode()
    assert {"/admin/boards/board/", "/admin/executions/execution/"} <= set(LISTS.findall(page))
    for path in set(LISTS.findall(page)):
        assert admin_client.get(path).status_code == 200, path


def test_who_may_see_tasks_is_shown_no_way_to_boards(client: Client) -> None:
    person = make_user(is_staff=True)
    person.user_permissions.add(Permission.objects.get(codename="view_task"))
    client.force_login(person)
    page = client.get("/admin/").content.decode()
    assert set(LISTS.findall(page)) == {"/admin/boards/task/"}
