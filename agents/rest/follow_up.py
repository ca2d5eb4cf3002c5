"""Answers that are known only once the request's transaction is committed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rest_framework.response import Response


class FollowedUp(Response):
    """What `follow_up` answers, which is called after the commit; it may raise what views raise.

    `data` is what a repeat of the request is answered if the process dies meanwhile. What has to
    be done all the same is on a row by then.
    """

    def __init__(self, data: Any, *, follow_up: Callable[[], Response]) -> None:
        super().__init__(data)
        self.follow_up = follow_up
