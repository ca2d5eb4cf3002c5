"""The frozen configuration of one run, as it is kept with its execution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

DEFAULT_TOOLS = ("Read", "Edit", "Bash", "Glob", "Grep")
DEFAULT_MAX_TURNS = 50


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """How a model is reached. `api_key_env` names the variable that holds the key.

    Seconds for `timeout`; `retries` counts tries after the first.
    """

    base_url: str = ""
    api_key_env: str = ""
    temperature: float | None = None
    max_tokens: int | None = None
    timeout: float = 120.0
    retries: int = 3


@dataclass(frozen=True, slots=True)
class RunSpec:
    """What a run is made of: who it is, what it may do, and when it must stop.

    `tools` is the allow-list after every fallback (names, or `("*",)`); `output_schema` is the
    action's JSON Schema or None; budgets of 0 mean none.
    """

    model: str
    kind: str = "react"
    soul: str = ""
    tools: tuple[str, ...] = DEFAULT_TOOLS
    max_turns: int = DEFAULT_MAX_TURNS
    token_budget: int = 0
    seconds_budget: int = 0
    output_schema: Mapping[str, Any] | None = None
    model_settings: ModelSettings = field(default_factory=ModelSettings)
    environment: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RunSpec:
        fields = dict(value)
        fields["tools"] = tuple(fields.get("tools", DEFAULT_TOOLS))
        fields["model_settings"] = ModelSettings(**fields.get("model_settings", {}))
        return cls(**fields)
