"""Posts to addresses that administrators have given: public ones, and the networks of a setting."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import httpx2
from django.conf import settings
from django.core.exceptions import ValidationError

from agents.runtime import portal
from agents.runtime.tools.addresses import Refused, target_of
from agents.runtime.tools.connecting import Asking, Connector, FetchFailed, Kept

logger = logging.getLogger(__name__)

SECONDS = 10.0
_SAID_AT_MOST = 300
# What a success says is read for so long and so far, so that its connection can be kept.
_READ_SECONDS = 0.5
_READ_AT_MOST = 64 * 1024


@dataclass(frozen=True, slots=True)
class Post:
    """One body of JSON to one address."""

    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a post: the status, 0 where there was none; and what was wrong, in words."""

    status: int
    problem: str = ""

    @property
    def is_taken(self) -> bool:
        return not self.problem


def check_url(url: str) -> None:
    """Raise a ValidationError unless it may be posted to, as far as its text tells."""
    try:
        target_of(url, any_port=True)
    except Refused as refused:
        raise ValidationError(str(refused), code="url") from refused


@contextmanager
def kept_connections() -> Iterator[Kept]:
    """What posts go over for the length of the block; the host of each URL is
    looked up and checked once."""
    kept = Kept(Connector(besides=tuple(settings.DELIVERY_NETWORKS)))
    try:
        yield kept
    finally:
        portal.submit(kept.aclose()).result()


async def post(what: Post, over: Kept) -> Answer:
    """Post within ten seconds in all; on the loop of the portal. Raises nothing."""
    headers = {
        "user-agent": "Signalbox",
        "content-type": "application/json",
        "accept": "*/*",
        **what.headers,
    }
    try:
        # One clock for all steps: an answer that drips slowly would reset a timeout of reads.
        async with asyncio.timeout(SECONDS) as clock:
            target = target_of(what.url, any_port=True)
            return await over.ask(target, Asking("POST", headers, what.body), partial(_read, clock))
    except TimeoutError:
        return Answer(0, f"It did not answer within {SECONDS:g} s.")
    except (Refused, FetchFailed) as error:
        return Answer(0, str(error))
    except Exception as error:  # One that fails oddly must not take others' answers with it.
        logger.exception("A post failed.")
        return Answer(0, f"It failed: {type(error).__name__}.")


async def _read(clock: asyncio.Timeout, response: httpx2.Response) -> Answer:
    """Any success takes it; a redirect is not followed, for it would lead past the check."""
    status = response.status_code
    if 200 <= status < 300:
        clock.reschedule(None)  # It has answered in time.
        await _read_on(response)
        return Answer(status)
    return Answer(status, f"It answered {status}{await _words(response)}.")


async def _read_on(response: httpx2.Response) -> None:
    """Read what a success says, and let its connection go where that is too much."""
    length = 0
    try:
        async with asyncio.timeout(_READ_SECONDS):
            async for piece in response.aiter_raw():
                length += len(piece)
                if length > _READ_AT_MOST:
                    return
    except (TimeoutError, httpx2.HTTPError):
        return


async def _words(response: httpx2.Response) -> str:
    """The beginning of what it said, for operators."""
    said = b""
    async for piece in response.aiter_raw():
        said += piece
        if len(said) >= _SAID_AT_MOST:
            break
    text = " ".join(said[:_SAID_AT_MOST].decode(errors="replace").replace("\0", " ").split())
    return f": {text}" if text else ""
