"""The process's one loop: shared, cancellable, restartable, and new after a fork."""

import asyncio
import multiprocessing
import threading
from concurrent.futures import CancelledError

import pytest

from agents.runtime import portal

DEADLINE = 10


@pytest.fixture(autouse=True)
def closed_portal():
    yield
    portal.close()


async def current_loop():
    return asyncio.get_running_loop(), threading.current_thread()


def test_every_thread_submits_to_the_same_loop():
    seen = []

    def submit():
        seen.append(portal.submit(current_loop()).result(DEADLINE))

    threads = [threading.Thread(target=submit) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)

    assert len(seen) == 20
    assert len(set(seen)) == 1
    assert seen[0][1].daemon


def test_an_error_reaches_the_caller_and_spares_the_loop():
    async def fail():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        portal.submit(fail()).result(DEADLINE)

    assert portal.submit(current_loop()).result(DEADLINE)


@pytest.mark.parametrize("how", ["cancel", "close"])
def test_cancelling_the_future_or_closing_ends_the_coroutine(how):
    started, cleaned = threading.Event(), threading.Event()

    async def wait():
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    future = portal.submit(wait())
    assert started.wait(DEADLINE)
    if how == "cancel":
        assert future.cancel()
    else:
        portal.close()

    assert cleaned.wait(DEADLINE)
    with pytest.raises(CancelledError):
        future.result(DEADLINE)


def test_the_portal_starts_again_after_it_was_closed():
    first, thread = portal.submit(current_loop()).result(DEADLINE)
    portal.close()
    second, _ = portal.submit(current_loop()).result(DEADLINE)

    assert first.is_closed()
    assert not thread.is_alive()
    assert second is not first


def test_closing_a_portal_that_never_started_does_nothing():
    portal.close()
    portal.close()


def _use_in_child(parents_loop_id, answers):
    loop, _ = portal.submit(current_loop()).result(DEADLINE)
    answers.put(id(loop) != parents_loop_id and loop.is_running())


def test_a_forked_child_has_a_loop_and_a_free_lock_of_its_own():
    loop, _ = portal.submit(current_loop()).result(DEADLINE)
    forking = multiprocessing.get_context("fork")
    answers = forking.Queue()
    child = forking.Process(target=_use_in_child, args=(id(loop), answers))
    with portal._portal._lock:  # Some other thread may be submitting at the moment of the fork.
        child.start()
    try:
        assert answers.get(timeout=DEADLINE) is True
    finally:
        child.join(DEADLINE)
        child.kill()
