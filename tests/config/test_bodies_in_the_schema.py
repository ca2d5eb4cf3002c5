"""The schema says what a body must have and may not have, as it is enforced."""

from typing import Any

import pytest

from tests.factories import API, api_client

pytestmark = pytest.mark.django_db


@pytest.fixture
def shapes() -> dict[str, Any]:
    schema = api_client().get(f"{API}/schema/", {"format": "json"}).json()
    found: dict[str, Any] = schema["components"]["schemas"]
    return found


def test_fields_that_are_refused_are_excluded(shapes: dict[str, Any]) -> None:
    assert shapes["TaskRequest"]["additionalProperties"] is False
    assert shapes["PatchedTaskRequest"]["additionalProperties"] is False
    assert "additionalProperties" not in shapes["Task"]


def test_a_decision_needs_its_status_in_a_patch_too(shapes: dict[str, Any]) -> None:
    assert shapes["PatchedDecisionRequest"]["required"] == ["status"]
    assert shapes["PatchedMemberChangeRequest"]["required"] == ["role"]
    assert "required" not in shapes["PatchedTaskRequest"]


def test_one_of_several_is_needed(shapes: dict[str, Any]) -> None:
    assert shapes["ExtendRequest"]["minProperties"] == 1
    alternatives = [each["required"] for each in shapes["InterviewRequest"]["oneOf"]]
    assert alternatives == [["question"], ["draft"]]
