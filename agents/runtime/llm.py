"""The one door to models: a name and settings in, something that replies out."""

from __future__ import annotations

import os

from agents.runtime.endpoint import endpoint_of, split_name
from agents.runtime.model_contract import (
    MODEL_ERROR,
    Delta,
    Model,
    ModelBusy,
    ModelError,
    OnDelta,
    UnknownModel,
)
from agents.runtime.spec import ModelSettings

__all__ = [
    "MODEL_ERROR",
    "Delta",
    "Model",
    "ModelBusy",
    "ModelError",
    "OnDelta",
    "UnknownModel",
    "check_model_name",
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


def open_model(name: str, settings: ModelSettings) -> Model:
    """Open `provider:model`. It is cheap after the first, and belongs to no loop until it replies.

    Raises UnknownModel for a name that does not exist, ModelError when the key's variable is
    not set. The first call of a process takes 1.5 s, so make it off the portal's loop.
    """
    provider, model = split_name(name)
    if provider == "scripted":
        from agents.runtime.scripted import open_script  # noqa: PLC0415 - only when asked for.

        return open_script(model)
    endpoint = endpoint_of(provider, settings, os.environ)
    from agents.runtime.pydantic_models import (  # noqa: PLC0415 - 1.5 s: only where a model runs.
        ProviderModel,
    )

    return ProviderModel(model, endpoint, settings)
