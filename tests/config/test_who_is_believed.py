"""The web server believes nobody who says to speak for another address."""

import json
from pathlib import Path

from config import listening
from config.management.commands.up import web

PROJECT = Path(__file__).resolve().parents[2]


def test_the_web_of_up_reads_no_headers_of_proxies() -> None:
    door = listening.take("127.0.0.1", 0)
    with door.listener:
        assert "--no-proxy-headers" in web(door).argv


def test_the_web_of_the_image_reads_none_either() -> None:
    text = (PROJECT / "Dockerfile").read_text().partition("\nCMD ")[2]

    assert "--no-proxy-headers" in json.loads(text.replace("\\\n", ""))
