"""What agent code has done already, by the keys of its author."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from agents.runtime.context import KeyReused
from executions.engine.toolcalls import digest
from executions.models import Step

MOST_KEY = 200
# The result of a step that raised: it is known what came of it, and that is nothing.
RAISED = {"raised": True}


@dataclass(frozen=True, slots=True)
class Effect:
    """An effect that code asks for, and what is known of it from before."""

    key: str
    kind: str
    digest: str
    is_begun: bool = False
    is_finished: bool = False
    result: Any = None


class Steps:
    """The effects of one execution, read once and then kept in step with its commits."""

    def __init__(self, execution_id: UUID, *, is_fresh: bool) -> None:
        self._execution_id = execution_id
        self._known: dict[str, Effect] | None = {} if is_fresh else None

    def find(self, key: str, kind: str, asked: Any) -> Effect:
        """The effect of this key. Raises `KeyReused` where the key stands for another."""
        if not 0 < len(key) <= MOST_KEY:
            raise ValueError(f"A key has 1 to {MOST_KEY} characters, not {len(key)}: {key[:50]!r}.")
        wanted = Effect(key, kind, digest(asked))
        known = self._all().get(key)
        if known is None:
            return wanted
        if (known.kind, known.digest) != (wanted.kind, wanted.digest):
            raise KeyReused(f"The key {key!r} stands for another {known.kind} already.")
        return known

    def remember(self, effect: Effect, result: Any, *, is_finished: bool) -> Effect:
        """Note what a commit writes: the effect as it is then."""
        noted = replace(effect, is_begun=True, is_finished=is_finished, result=result)
        self._all()[effect.key] = noted
        return noted

    def forget(self, effect: Effect) -> None:
        """Note that the effect was not begun after all."""
        self._all()[effect.key] = replace(effect, is_begun=False)

    def _all(self) -> dict[str, Effect]:
        if self._known is None:
            rows = Step.objects.filter(execution=self._execution_id).values_list(
                "key", "kind", "digest", "finished_at", "result"
            )
            self._known = {
                key: Effect(
                    key,
                    kind,
                    digest,
                    is_begun=finished_at is not None or result != RAISED,
                    is_finished=finished_at is not None,
                    result=result,
                )
                for key, kind, digest, finished_at, result in rows
            }
        return self._known
