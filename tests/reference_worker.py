"""A worker outside Signalbox that uses nothing but HTTP: the pattern for one in any language.

    python tests/reference_worker.py --url http://localhost:8000 --key sbk_… --kind remote:greeter

It polls, carries on what it gets, and goes on polling. `carry_on` is the agent; all above it is
what a worker in any language has to do.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

POLL_SECONDS = 20


class Gone(Exception):
    """The claim no longer holds. Whatever is done from now on, another worker does."""


class Refused(Exception):
    """The server refuses a request, and would do so again."""


class Server:
    """The dispatch API. A request that got no answer is sent again.

    What must not be done twice, and has no key or number of its own, is sent with one (`once`).
    """

    def __init__(self, url: str, key: str) -> None:
        self._base, self._key = url.rstrip("/") + "/api/v0/dispatch", key

    def post(self, path: str, body: dict[str, Any], *, once: bool = False) -> Any:
        return self._sent("POST", path, json.dumps(body).encode(), once=once)

    def get(self, path: str) -> Any:
        return self._sent("GET", path, None)

    def _sent(self, method: str, path: str, body: bytes | None, *, once: bool = False) -> Any:
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        if once:
            headers["Idempotency-Key"] = uuid.uuid4().hex
        for pause in (0.2, 0.5, 1, 2, 4, 8):
            request = Request(self._base + path, body, headers, method=method)  # noqa: S310
            try:
                with urlopen(request, timeout=POLL_SECONDS + 20) as answer:  # noqa: S310
                    return _read(answer)
            except HTTPError as error:
                problem = json.loads(error.read() or b"{}")
                if problem.get("code") == "SUPERSEDED":
                    raise Gone from error
                if not problem.get("retryable") and error.code < 500:
                    raise Refused(f"{path}: {problem}") from error
            except (URLError, ConnectionError, TimeoutError):
                pass
            time.sleep(pause)
        raise Gone("The server does not answer, and the lease is over by now.")


def _read(answer: Any) -> Any:
    text = answer.read()
    if "jsonl" in answer.headers.get("Content-Type", ""):
        return [json.loads(line) for line in text.splitlines()]
    return json.loads(text) if text else None


class Run:
    """One claimed execution. A thread keeps the lease; `look` says what is asked of the run."""

    def __init__(self, server: Server, claimed: dict[str, Any]) -> None:
        self.input: dict[str, Any] = claimed["input"].get("with", {})
        self.state: dict[str, Any] = claimed["checkpoint"]["state"]
        self.sequence: int = claimed["checkpoint"]["sequence"]
        self._server, self._told = server, claimed
        self._path, self._epoch = f"/{claimed['exec_id']}", claimed["epoch"]
        self._lease = claimed["lease_seconds"]
        self._renewed_at = time.monotonic()
        self._over = threading.Event()
        threading.Thread(target=self._keep, daemon=True).start()

    def _keep(self) -> None:
        while not self._over.wait(self._lease / 3):
            try:
                self._write("/heartbeat")
            except (Gone, Refused):
                return

    def _write(self, path: str, *, once: bool = False, **body: Any) -> Any:
        sent_at = time.monotonic()
        answer = self._server.post(self._path + path, {"epoch": self._epoch, **body}, once=once)
        # Counted from before the request, so that it never ends later than the server's.
        self._told, self._renewed_at = answer, sent_at
        return answer

    def look(self) -> None:
        """Before each step: leave where that is asked for. Raises `Gone`."""
        if self._told["cancel"]:
            self._leave("/release", **{"as": "cancelled"})
        if self._told["pause"]:
            self._leave("/release", **{"as": "paused"})
        if time.monotonic() - self._renewed_at > self._lease:
            self._over.set()
            raise Gone("The lease ran out here: do nothing more that somebody else may do too.")

    def _leave(self, path: str, **body: Any) -> None:
        self._over.set()
        self._write(path, **body)
        raise Gone

    def say(self, key: str, text: str) -> None:
        """Append an entry, once for its key, whichever worker comes to it."""
        entry = {"type": "message", "role": "assistant", "text": text}
        self._write("/entries", idempotency_key=key, entries=[entry])

    def keep(self, **state: Any) -> None:
        """Keep the state from which whoever comes next goes on."""
        self._write("/checkpoints", once=True, sequence=self.sequence + 1, state=state)
        self.sequence, self.state = self.sequence + 1, state

    def take(self, name: str) -> list[dict[str, Any]]:
        """Signals of this name; they are consumed by what is written next."""
        found: list[dict[str, Any]] = self._write("/signals/consume", once=True, name=name)[
            "signals"
        ]
        return found

    def wait_for(self, *conditions: dict[str, Any]) -> None:
        """Leave until one of them holds; return if one does already. Raises `Gone`."""
        if self._write("/suspend", conditions=list(conditions))["suspended"]:
            self._over.set()
            raise Gone

    def show(self, text: str) -> None:
        """What watchers see, and nobody keeps."""
        piece = {"kind": "progress", "value": {"text": text}}
        self._server.post(self._path + "/stream", {"epoch": self._epoch, "pieces": [piece]})

    def complete(self, output: Any) -> None:
        self._over.set()
        self._write("/complete", output=output)

    def fail(self, message: str) -> None:
        self._over.set()
        self._write("/fail", message=message[:2000])

    @property
    def entries(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._server.get(f"{self._path}/entries?epoch={self._epoch}")
        return found

    def pending(self, name: str) -> int:
        path = f"{self._path}/signals/{quote(name)}?epoch={self._epoch}"
        return int(self._server.get(path)["count"])


def carry_on(run: Run) -> None:
    """The agent: so many steps, then a question, then an end. It is called from its top each time,
    and finds in the checkpoint how far it has come."""
    for step in range(run.state.get("steps", 0), run.input.get("steps", 1)):
        run.look()
        run.show(f"Step {step + 1}.")
        time.sleep(run.input.get("seconds", 0.0))
        run.look()
        run.say(f"step-{step}", f"Step {step + 1} is done.")
        run.keep(steps=step + 1)
    name = run.state.get("name") or _asked(run)
    run.look()
    run.say("greeting", f"Hello, {name}.")
    run.complete({"greeted": name, "steps": run.state["steps"]})


def _asked(run: Run) -> str:
    run.say("question", "What is your name?")
    while not (answers := run.take("name")):
        run.wait_for({"kind": "signal", "name": "name"})
    run.keep(steps=run.state.get("steps", 0), name=answers[0]["value"])
    return str(answers[0]["value"])


def work(server: Server, agent: Callable[[Run], None], *, kind: str, worker: str) -> None:
    """Poll for executions of the kind, and carry each on, without an end."""
    poll = {"kinds": [kind], "worker": worker, "wait_seconds": POLL_SECONDS}
    while True:
        try:
            claimed = server.post("/poll", poll, once=True)
            if claimed is None:
                continue
            run = Run(server, claimed)
            try:
                agent(run)
            except Refused as error:
                run.fail(str(error))
        except Gone:
            continue


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--url", default="http://localhost:8000")
    options.add_argument("--key", required=True, help="an integration key, scope dispatch")
    options.add_argument("--kind", default="remote")
    options.add_argument("--worker", default=f"reference-{uuid.uuid4().hex[:8]}")
    given = options.parse_args()
    work(Server(given.url, given.key), carry_on, kind=given.kind, worker=given.worker)


if __name__ == "__main__":
    main()
