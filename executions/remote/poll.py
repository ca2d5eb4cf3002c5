"""Polling: a worker outside waits for an execution, and holds neither thread nor connection."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from agents.remote import of_remote_kind, place
from agents.rest.plain_views import in_place_of
from agents.rest.refusals import BodyTooLarge
from agents.rest.waiting import few_at_once
from agents.watching.looks import look
from agents.watching.loops import PerLoop
from agents.watching.rooms import Seen, WaitingRoom
from executions import pollers, queries
from executions.models import Execution, Status
from executions.remote import bodies
from executions.remote.claimed import claimed
from executions.remote.run import take_next
from executions.remote.serializers import ClaimedSerializer
from executions.remote.views import OfWorkers, described

# Attempts at once in one process, each with a thread and a connection.
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Patience:
    """Who found nothing, where they poll, and for how long they wait."""

    organization_id: UUID
    worker: str
    places: Sequence[str]
    seconds: float


class PollViewSet(OfWorkers):
    @described(
        "poll",
        "Poll for an execution",
        "The first in the queue's order of these kinds in this queue, which is the worker's then; "
        "204 where there is none within `wait_seconds`. With an `Idempotency-Key` an answer that "
        "got lost is given again.",
        request=bodies.PollSerializer,
        responses={200: ClaimedSerializer, 204: None},
    )
    def create(self, request: Request) -> Response:
        shape = bodies.PollSerializer(data=request.data)
        shape.is_valid(raise_exception=True)
        asked = shape.validated_data
        kinds, queue, worker = sorted(set(asked["kinds"])), asked["worker_queue"], asked["worker"]
        places = pollers.places_of(self.organization.id, kinds, queue)
        found = take_next(self.organization, kinds=kinds, queue=queue, worker=worker)
        if found is None:
            return _nothing(Patience(self.organization.id, worker, places, asked["wait_seconds"]))
        pollers.give_sign(self.organization.id, worker, places)
        return Response(ClaimedSerializer(claimed(found)).data)


def _nothing(patience: Patience) -> Response:
    """Why there is no answer yet; as a refusal, it leaves an idempotency key free."""
    nothing = Response(status=404)
    nothing.patience = patience  # type: ignore[attr-defined]  # For `poll`, which answers instead.
    return nothing


_poll = PollViewSet.as_view({"post": "create"})


@in_place_of(_poll)
async def poll(request: HttpRequest) -> HttpResponseBase:
    """The next execution, as soon as there is one within the caller's time."""
    _keep_body(request)
    loop = asyncio.get_running_loop()
    arrived = loop.time()
    while True:
        answer = await few_at_once(_door(), lambda: _poll(request))
        patience = getattr(answer, "patience", None)
        if patience is None:
            return answer
        # Written apart: what was found to be nothing was undone.
        sign = partial(pollers.give_sign, patience.organization_id, patience.worker)
        await look(partial(sign, patience.places))
        left = arrived + patience.seconds - loop.time()
        if left <= 0:
            return HttpResponse(status=204)
        # Who waits long shows now and then that it is there.
        await _called(patience.places, min(left, _seconds_between_signs()))


def _keep_body(request: HttpRequest) -> None:
    """Read the body once for all attempts."""
    try:
        request.body  # noqa: B018  Django keeps what it has read.
    except RequestDataTooBig as error:
        raise BodyTooLarge from error


def _seconds_between_signs() -> float:
    return queries.sign_expected_within().total_seconds() / 3


async def _called(places: Sequence[str], seconds: float) -> None:
    """Return when there is something at one of the places, or after so many seconds."""
    waits = [
        asyncio.ensure_future(_waiting_room().wait(pollers.room_of(where), seconds))
        for where in places
    ]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


def _look(rooms: list[UUID]) -> dict[UUID, Seen[bool]]:
    """Those of the places at which something waits to be taken."""
    waiting = Execution.objects.filter(
        of_remote_kind(), status=Status.QUEUED, admitted_epoch__isnull=False
    )
    named = waiting.order_by().values_list("organization_id", "kind", "worker_queue").distinct()
    there = {pollers.room_of(place(*where)) for where in named}
    return {room: Seen(thing=True, is_over=True) for room in rooms if room in there}


_waiting_room: PerLoop[WaitingRoom[bool]] = PerLoop(lambda: WaitingRoom(_look, pollers.channel))
_door = PerLoop(lambda: asyncio.Semaphore(AT_ONCE))


def waiting() -> int:
    """How many places are waited at in this loop."""
    return _waiting_room().count
