"""Kinds are registered by name and version, with schemas from their annotations."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from agents.runtime import kinds
from agents.runtime.context import AgentContext
from agents.runtime.kinds import DuplicateKind, agent_kind


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "_kinds", dict(kinds._kinds))


@dataclass
class Order:
    count: int
    note: str = ""


def test_schemas_come_from_the_annotations() -> None:
    @agent_kind("t.typed", tags=["a"])
    def typed(context: AgentContext, order: Order) -> list[int]:
        """Take an order.

        And more about it.
        """
        return list(range(order.count))

    kind = kinds.newest("t.typed")
    assert kind is not None
    assert kind.input_schema is not None
    assert kind.input_schema["required"] == ["count"]
    assert kind.output_schema == {"type": "array", "items": {"type": "integer"}}
    assert (kind.description, kind.tags, kind.version) == ("Take an order.", ("a",), "1")
    assert kind.write(kind.call(None, {"count": 3})) == [0, 1, 2]


def test_what_says_nothing_takes_and_gives_anything() -> None:
    @agent_kind("t.plain")
    def plain(context):  # type: ignore[no-untyped-def]
        return {"any": context}

    kind = kinds.newest("t.plain")
    assert kind is not None
    assert (kind.input_schema, kind.output_schema) == (None, None)
    assert kind.write(kind.call("thing", {"ignored": 1})) == {"any": "thing"}


def test_an_input_or_output_that_does_not_fit_is_refused() -> None:
    @agent_kind("t.strict")
    def strict(context: AgentContext, order: Order) -> int:
        return 1

    kind = kinds.newest("t.strict")
    assert kind is not None
    with pytest.raises(ValueError, match="count"):
        kind.call(None, {"count": "many"})
    with pytest.raises(ValueError, match="int"):
        kind.write("no number")


def test_two_functions_of_one_kind_and_version_are_a_mistake_at_start_up() -> None:
    @agent_kind("t.twice")
    def first(context: AgentContext) -> None: ...

    def second(context: AgentContext) -> None: ...

    with pytest.raises(DuplicateKind, match=r"'t.twice' of version '1'"):
        agent_kind("t.twice")(second)
    agent_kind("t.twice", version="2")(second)
    agent_kind("t.twice")(first)  # A module that is loaded twice.
    newest = kinds.newest("t.twice")
    assert newest is not None
    assert newest.version == "2"
    assert kinds.find("t.twice", "1") is not None


def test_what_nobody_registered_is_not_there() -> None:
    assert kinds.newest("t.none") is None
    assert kinds.find("react", "9") is None
    react = kinds.newest("react")
    assert react is None or react.version == ""
