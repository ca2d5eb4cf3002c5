"""Refusals: what every app raises when a request cannot be carried out, and those of this app."""

from collections.abc import Callable
from typing import Any, ClassVar

from rest_framework.exceptions import APIException


class Refusal(APIException):
    """A request that was understood and is not carried out.

    A subclass states its promise in its docstring, which is also the default message; `code` is
    stable; facts are the data that a program needs, and stand beside `detail` in the answer.
    """

    code: ClassVar[str] = "REFUSED"
    status_code: int = 409
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str = "", **facts: Any) -> None:
        message = detail or " ".join((type(self).__doc__ or "").split())
        super().__init__(detail=message, code=self.code)
        self.facts = facts


class AgentNotFound(Refusal):
    """There is no such agent in this organization."""

    code = "AGENT_NOT_FOUND"
    status_code = 404


class AgentSlugTaken(Refusal):
    """Another agent of this organization has this slug."""

    code = "AGENT_SLUG_TAKEN"


class AgentAlreadyRunning(Refusal):
    """The agent has a live execution; wait for it, or cancel it first."""

    code = "AGENT_ALREADY_RUNNING"


class RankTooLow(Refusal):
    """Nobody grants or removes a rank above their own."""

    code = "RANK_TOO_LOW"
    status_code = 403


class LastOwner(Refusal):
    """An organization keeps at least one owner."""

    code = "LAST_OWNER"


class GatewayUnreachable(Refusal):
    """The recipient cannot be reached: its gateway is switched off."""

    code = "GATEWAY_UNREACHABLE"
    status_code = 422


class GatewayFailed(Refusal):
    """The recipient's gateway did not take the message; it is kept, and can be sent again."""

    code = "GATEWAY_FAILED"
    status_code = 502
    retryable = True
    # What keeps the message once the request's transaction has been undone.
    keep: Callable[[], object] = staticmethod(lambda: None)


class GatewayNotFound(Refusal):
    """There is no such gateway in this organization."""

    code = "GATEWAY_NOT_FOUND"
    status_code = 404


class NotFailed(Refusal):
    """Only a message that failed is sent again."""

    code = "MESSAGE_NOT_FAILED"
