"""Agent kinds: the functions that carry executions on, by name and version."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

Carry = Callable[..., Any]


class DuplicateKind(Exception):
    """Two functions were registered for one kind and version."""


@dataclass(frozen=True)
class Kind:
    """A kind of agent. Its function is called from its top at every resume.

    It takes the context, and the input when it has a second parameter; what it returns is the
    execution's output. `timeout` is in seconds. A kind that `takes_messages` is told what people
    say to it while it runs, and takes another turn for it; others read the signal `message`.
    """

    name: str
    version: str
    function: Carry
    description: str = ""
    tags: tuple[str, ...] = ()
    timeout: float | None = None
    cancellable: bool = True
    takes_messages: bool = False
    input: Any = None
    output: Any = None

    @property
    def of_rows(self) -> tuple[str, str]:
        """What an execution's row says of it."""
        return self.name, self.version

    @property
    def label(self) -> str:
        """Name and version, as lists of what a worker has say them."""
        return label_of(self.name, self.version)

    @cached_property
    def input_schema(self) -> dict[str, Any] | None:
        """The JSON Schema of its input, from its annotation; None where it says nothing."""
        return None if self._reads is None else self._reads.json_schema()

    @cached_property
    def output_schema(self) -> dict[str, Any] | None:
        """The JSON Schema of its output, from its annotation; None where it says nothing."""
        return None if self._writes is None else self._writes.json_schema()

    def read(self, value: Any) -> Any:
        """The input as the function's annotation has it. Raises ValueError (pydantic's)."""
        return value if self._reads is None else self._reads.validate_python(value)

    def write(self, value: Any) -> Any:
        """The output as JSON has it. Raises ValueError where it does not fit the annotation."""
        if self._writes is None:
            return value
        return self._writes.dump_python(self._writes.validate_python(value), mode="json")

    def call(self, context: Any, value: Any) -> Any:
        """Call the function from its top."""
        if len(self._parameters) < 2:
            return self.function(context)
        return self.function(context, self.read(value))

    @cached_property
    def _parameters(self) -> list[str]:
        return list(inspect.signature(self.function).parameters)

    @cached_property
    def _reads(self) -> Any:
        hints = typing.get_type_hints(self.function)
        taken = hints.get(self._parameters[1]) if len(self._parameters) > 1 else None
        return _adapter(self.input or taken)

    @cached_property
    def _writes(self) -> Any:
        return _adapter(self.output or typing.get_type_hints(self.function).get("return"))


def agent_kind(
    name: str,
    *,
    version: str = "1",
    description: str = "",
    tags: Sequence[str] = (),
    **more: Any,
) -> Callable[[Carry], Carry]:
    """Register the function as a kind of agent; see `Kind` for what else it takes.

    Raises `DuplicateKind` at start-up where another function has the name and version.
    """

    def register(function: Carry) -> Carry:
        text = description or (inspect.getdoc(function) or "").partition("\n")[0]
        kind = Kind(name, version, function, text, tuple(tags), **more)
        other = _kinds.get(kind.of_rows)
        if other is not None and other.function.__qualname__ != function.__qualname__:
            raise DuplicateKind(f"There are two kinds {name!r} of version {version!r}.")
        _kinds[kind.of_rows] = kind
        return function

    return register


def label_of(name: str, version: str) -> str:
    """What a kind of this name and version is called; many have no version."""
    return f"{name} {version}".strip()


def registered() -> list[Kind]:
    """Every kind that this process can carry on, in the order of registration."""
    return list(_kinds.values())


def find(name: str, version: str) -> Kind | None:
    """The kind of this name and version."""
    return _kinds.get((name, version))


def newest(name: str) -> Kind | None:
    """The kind of this name that was registered last: what new executions are of."""
    return next((kind for kind in reversed(registered()) if kind.name == name), None)


_kinds: dict[tuple[str, str], Kind] = {}


def _adapter(declared: Any) -> Any:
    """What checks values of a type, or None for a type that says nothing."""
    if declared is None or declared is Any:
        return None
    from pydantic import TypeAdapter  # noqa: PLC0415  A quarter of a second, for few.

    return TypeAdapter(declared)
