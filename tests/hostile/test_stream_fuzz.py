"""Nonsense over a live stream: one clear word and the end of that session, and the service serves on."""

import json
import struct
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from serving import jpeg, running, until

BLOCK = (np.random.default_rng(0).standard_normal(1600) * 3000).astype("<i2").tobytes()
PICTURE = jpeg(np.random.default_rng(0).integers(0, 255, (90, 160, 3), np.uint8))
TIMES = (0.0, -0.0, 0.1, 1.0, 2.5, -1.0, 1e12, -1e300, float("nan"), float("inf"), 5e-324)
WORDS = ("", "fine", "x" * 2000, "\x00\ud800 \u202e 🙂", "\n\t ", "it " * 500)


def sent(drawn: np.random.Generator) -> str | bytes:
    """A message that a client might send by mistake or in malice."""
    time = TIMES[drawn.integers(len(TIMES))]
    kind = drawn.integers(9)
    if drawn.random() < 1 / 300:  # this ends a session
        return drawn.bytes(int(drawn.integers(1, 60))) if kind < 4 else '{"type": "text"}'[: drawn.integers(1, 16)]
    if kind < 3:
        return struct.pack("<Bd", 1, time) + BLOCK[: 2 * drawn.integers(1, 801)]
    if kind < 6:
        picture = bytearray(PICTURE[: drawn.integers(1, len(PICTURE) + 1)])
        for at in drawn.integers(0, len(picture), drawn.integers(0, 30)):
            picture[at] = drawn.integers(256)
        return struct.pack("<Bd", 2, time) + bytes(picture)
    text = WORDS[drawn.integers(len(WORDS))].encode("utf-8", "replace").decode()
    return json.dumps({"type": "text", "id": str(kind), "text": text, "start": time, "stop": time + 1})


def listen(client: ClientConnection, said: list[dict[str, Any]]) -> None:
    with suppress(ConnectionClosed):
        for message in client:
            said.append(json.loads(message))


@pytest.mark.slow
def test_nonsense_ends_a_session_at_most(tmp_path: Path) -> None:
    drawn = np.random.default_rng(1)
    with running(tmp_path, live=1) as address:
        children = {child.pid for child in psutil.Process().children()}
        for _ in range(12):
            with connect(address.replace("http", "ws") + "/v1/stream", proxy=None) as client:
                client.send('{"type": "start", "asr": false, "every_s": 0.25}')
                assert json.loads(client.recv(timeout=60))["type"] == "ready"
                said: list[dict[str, Any]] = []
                listener = threading.Thread(target=listen, args=(client, said))
                listener.start()
                with suppress(ConnectionClosed):
                    for _ in range(400):
                        client.send(sent(drawn))
                    client.send('{"type": "end"}')
                listener.join()
            code = client.protocol.close_code
            assert code in (1000, 1008), said[-1]
            assert {one["type"] for one in said} <= {"answer", "error"}
            assert code == 1000 or (said[-1]["type"] == "error" and said[-1]["status"] in (400, 413, 422))
        assert httpx.get(f"{address}/healthz", trust_env=False).status_code == 200
        until(lambda: {child.pid for child in psutil.Process().children()} <= children)
