"""The frozen configuration of one run, as it is kept with its execution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

DEFAULT_TOOLS = ("Read", "Edit", "Bash", "Glob", "Grep")
DEFAULT_MAX_TURNS = 50

Effort = Literal["minimal", "low", "medium", "high"]


@dataclass(frozen=True, slots=True)
class Fallback:
    """A model that is asked where those before it cannot answer, and how it is reached."""

    model: str
    base_url: str = ""
    api_key_env: str = ""


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """How a model is reached. `api_key_env` names the variable that holds the key.

    Seconds for `timeout`; `retries` counts tries after the first. `fallback_models` have all else
    as the first. `context_tokens` is how much of its window may be used before what lies further
    back is summarised; None never summarises until the model refuses the length. What is None is
    left to the provider; `thinking` is yes, no or how much.
    """

    base_url: str = ""
    api_key_env: str = ""
    fallback_models: tuple[Fallback, ...] = ()
    context_tokens: int | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    thinking: bool | Effort | None = None
    timeout: float = 120.0
    retries: int = 3

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ModelSettings:
        """The settings as an agent has them; a fallback may be the name of its model alone."""
        others = value.get("fallback_models", ())
        read = (Fallback(each) if isinstance(each, str) else Fallback(**each) for each in others)
        return cls(**{**value, "fallback_models": tuple(read)})


@dataclass(frozen=True, slots=True)
class RunSpec:
    """What a run is made of: who it is, what it may do, and when it must stop.

    `tools` is the allow-list after every fallback (names, or `("*",)`); `approval_required` says
    which of their calls need a person (see `tools.approval`); `output_schema` is the action's JSON
    Schema or None; budgets of 0 mean none. `hooks` are dotted paths by stage (see
    `tools.hooks`).
    """

    model: str
    kind: str = "react"
    soul: str = ""
    tools: tuple[str, ...] = DEFAULT_TOOLS
    approval_required: tuple[Any, ...] = ()
    max_turns: int = DEFAULT_MAX_TURNS
    token_budget: int = 0
    seconds_budget: int = 0
    output_schema: Mapping[str, Any] | None = None
    model_settings: ModelSettings = field(default_factory=ModelSettings)
    environment: Mapping[str, str] = field(default_factory=dict)
    hooks: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RunSpec:
        fields = dict(value)
        fields["tools"] = tuple(fields.get("tools", DEFAULT_TOOLS))
        fields["approval_required"] = tuple(fields.get("approval_required", ()))
        fields["model_settings"] = ModelSettings.from_json(fields.get("model_settings", {}))
        return cls(**fields)
