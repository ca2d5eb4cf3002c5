"""A server that takes what is posted to it as fast as one can, and lists the ids that came.

`python -m tests.benchmarks.taker` prints its address and serves until it is ended; a GET answers
the `webhook-id` of each post, in the order in which they came.
"""

from __future__ import annotations

import asyncio
import json

_TAKEN: list[str] = []


def main() -> None:
    """Serve until ended."""
    asyncio.run(_serve())


async def _serve() -> None:
    server = await asyncio.start_server(_answer_all, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    print(f"http://{host}:{port}/", flush=True)  # noqa: T201  This is how it is found.
    async with server:
        await server.serve_forever()


async def _answer_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, headers = head.split(" ", 1)[0], _headers(head)
            await reader.readexactly(int(headers.get("content-length", 0)))
            if method == "POST":
                _TAKEN.append(headers["webhook-id"])
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            else:
                told = json.dumps(_TAKEN).encode()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(told) + told)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def _headers(head: str) -> dict[str, str]:
    lines = (line.partition(":") for line in head.split("\r\n")[1:])
    return {name.lower(): value.strip() for name, _, value in lines}


if __name__ == "__main__":
    main()
