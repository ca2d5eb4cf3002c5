"""Several models as one: the next is asked where one cannot answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from agents.runtime.facts import ModelRequest, Reply
from agents.runtime.model_contract import (
    CONTEXT_TOO_LONG,
    MODEL_ERROR,
    Delta,
    Model,
    ModelBusy,
    ModelError,
    OnDelta,
)
from agents.runtime.redaction import NO_SECRETS, Redactor

# A model that failed is not asked first again for so long, by this process: with its own tries
# each turn would lose seconds to it.
REST_SECONDS = 30.0

Open = Callable[[], Model]
Trouble = ModelError | ModelBusy


@dataclass(frozen=True, slots=True)
class Named:
    """A model of the chain: `key` tells it from others of the process, `open` opens it."""

    name: str
    key: object
    open: Open


@dataclass(slots=True)
class Rests:
    """Which models are not asked first for a while, by their keys."""

    now: Callable[[], float] = time.monotonic
    _until: dict[object, float] = field(default_factory=dict)

    def rest(self, key: object, seconds: float) -> None:
        self._until[key] = self.now() + seconds

    def is_resting(self, key: object) -> bool:
        return self._until.get(key, 0.0) > self.now()

    def forget(self) -> None:
        self._until.clear()


rests = Rests()


class Chain:
    """Asks its models in their order until one answers; those that rest come last.

    The redactor is for what they say where none does: each may be cut in the middle of a secret,
    which nobody sees any more once other words follow.
    """

    def __init__(self, models: Sequence[Named], redactor: Redactor = NO_SECRETS) -> None:
        self._redactor = redactor
        self._opened = [(named, _opened(named)) for named in models]

    async def reply(self, request: ModelRequest, on_delta: OnDelta) -> Reply:
        """See `Model.reply`; `fell_back_from` names the models that could not answer.

        Where none answers, raises ModelBusy if one of them will later; else that the request is
        too long for one, so that it is made shorter; else ModelError with what each said.
        """
        troubles: list[tuple[str, Trouble]] = []
        too_long: ModelError | None = None
        for named, model in self._in_order():
            try:
                if isinstance(model, ModelError):
                    raise model
                reply = await model.reply(request, on_delta)
            except (ModelError, ModelBusy) as trouble:
                if isinstance(trouble, ModelError) and trouble.code == CONTEXT_TOO_LONG:
                    too_long = too_long or trouble
                    continue
                on_delta(Delta("reset"))
                rests.rest(named.key, max(REST_SECONDS, trouble.retry_after or 0.0))
                troubles.append((named.name, trouble))
            else:
                return replace(reply, fell_back_from=tuple(name for name, _ in troubles))
        if too_long and not any(isinstance(each, ModelBusy) for _, each in troubles):
            raise too_long
        raise self._all_of(troubles)

    def _in_order(self) -> Iterator[tuple[Named, Model | ModelError]]:
        return iter(sorted(self._opened, key=lambda each: rests.is_resting(each[0].key)))

    def _all_of(self, troubles: Sequence[tuple[str, Trouble]]) -> Trouble:
        waits = [each.retry_after for _, each in troubles if isinstance(each, ModelBusy)]
        told = "; ".join(
            f"{name}: {self._redactor.fragment(str(trouble), ends_cut=True)}"
            for name, trouble in troubles
        )
        return ModelBusy(min(waits), told) if waits else ModelError(MODEL_ERROR, told)


def _opened(named: Named) -> Model | ModelError:
    """The model, or why it cannot be opened: a missing key is told when it would be asked."""
    try:
        return named.open()
    except ModelError as error:
        return error
