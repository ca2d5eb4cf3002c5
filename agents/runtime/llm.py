"""The one door to models: a name and settings in, something that replies out."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from agents.runtime.endpoint import endpoint_of, split_name
from agents.runtime.fallback import Chain, Named
from agents.runtime.model_contract import (
    CONTEXT_TOO_LONG,
    MODEL_ERROR,
    Delta,
    Model,
    ModelBusy,
    ModelError,
    OnDelta,
    UnknownModel,
)
from agents.runtime.redaction import NO_SECRETS, Redactor
from agents.runtime.spec import Fallback, ModelSettings

__all__ = [
    "CONTEXT_TOO_LONG",
    "MODEL_ERROR",
    "Delta",
    "Model",
    "ModelBusy",
    "ModelError",
    "OnDelta",
    "UnknownModel",
    "check_model_name",
    "load_providers",
    "open_model",
]


def check_model_name(name: str) -> None:
    """Raise UnknownModel, with the valid forms, when no such model can be opened.

    Cheap enough for every save: it loads no provider's library and looks at no key.
    """
    provider, model = split_name(name)
    if provider == "scripted":
        from agents.runtime.scripted import check_script  # noqa: PLC0415 - only when asked for.

        check_script(model)


def load_providers(default: str, environ: Mapping[str, str]) -> None:
    """Load at a moment of one's choice what the first call of a provider's model waits for.

    Where the environment has no key and the default model is scripted, none is likely to come, and
    two seconds and 80 MiB are saved.
    """
    has_key = any(name.endswith("_API_KEY") and key for name, key in environ.items())
    if has_key or not default.startswith("scripted:"):
        importlib.import_module("agents.runtime.pydantic_models")


def open_model(name: str, settings: ModelSettings, *, redactor: Redactor = NO_SECRETS) -> Model:
    """Open `provider:model`, and those that it falls back on, as one.

    `redactor` takes secrets out of what several say together that none can answer.

    It is cheap after the first, and belongs to no loop until it replies. Raises UnknownModel for a
    name that does not exist; ModelError when a key's variable is not set and no other model is
    there. The first call of a process takes 1.5 s, so make it off the portal's loop.
    """
    if not settings.fallback_models:
        return _open(name, settings)
    own = Fallback(name, settings.base_url, settings.api_key_env)
    return Chain([_named(each, settings) for each in (own, *settings.fallback_models)], redactor)


def _named(one: Fallback, settings: ModelSettings) -> Named:
    reached = replace(settings, base_url=one.base_url, api_key_env=one.api_key_env)
    return Named(one.model, one, partial(_open, one.model, reached))


def _open(name: str, settings: ModelSettings) -> Model:
    provider, model = split_name(name)
    if provider == "scripted":
        from agents.runtime.scripted import open_script  # noqa: PLC0415 - only when asked for.

        return open_script(model)
    endpoint = endpoint_of(provider, settings, os.environ)
    from agents.runtime.pydantic_models import (  # noqa: PLC0415 - 1.5 s: only where a model runs.
        ProviderModel,
    )

    return ProviderModel(model, endpoint, settings)
