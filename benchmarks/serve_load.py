"""Many clients at once, texts and 10-second clips mixed, on this machine: statuses, waiting times, lost jobs, memory.

    PYTHONPATH=src:tests python benchmarks/serve_load.py --output load.json
    PYTHONPATH=src:tests python benchmarks/serve_load.py --clients 200 --seconds 120 --output load200.json

Each client asks again as soon as it has its answer: for one to three sentences, and every tenth time for a clip, which
it uploads and whose job it follows. Who is told to come again later (429) does so. Nothing may be answered with a
status from 500 on, every job that was accepted must end with the same answer, and the memory of all processes of the
service must not grow once it is warm: `growth_mb` is the median of the last quarter less that of the second,
`slope_mb_per_minute` a line through the second half. The clients take part of the same cores.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import av
import httpx
from serve_latency import SENTENCES, processor

from mecam.version import __version__
from serve_process import Server, left_over

EVERY = 10
"""One of so many requests of a client is a clip."""
CLIP_S = 10.0
ENDED_S = 600.0
"""Seconds after the load in which all jobs must have ended."""


class Load:
    """What clients do, and what came of it."""

    def __init__(self, server: Server, clip: bytes, seconds: float) -> None:
        self.server, self.clip, self.until = server, clip, time.monotonic() + seconds
        self.statuses: dict[str, Counter[int]] = {"text": Counter(), "upload": Counter(), "job": Counter()}
        self.taken: dict[str, list[float]] = {"text": [], "clip": []}
        self.answers: Counter[str] = Counter()
        self.ended = False
        self.wrong: list[str] = []

    async def client(self, number: int, http: httpx.AsyncClient) -> None:
        draw = random.Random(number)
        turn = draw.randrange(EVERY)
        while time.monotonic() < self.until:
            turn += 1
            try:
                await (self.one_clip(http) if turn % EVERY == 0 else self.some_texts(http, draw))
            except httpx.TransportError as error:
                self.wrong.append(f"client {number}: {type(error).__name__} {error}")

    async def some_texts(self, http: httpx.AsyncClient, draw: random.Random) -> None:
        texts = draw.choices(SENTENCES, k=draw.randint(1, 3))
        began = time.monotonic()
        response = await http.post("/v1/predict/text", json={"texts": texts})
        self.statuses["text"][response.status_code] += 1
        if response.status_code == 200:
            self.taken["text"].append(time.monotonic() - began)
            if [one["text"] for one in response.json()["predictions"]] != texts:
                self.wrong.append("an answer belongs to other texts")
        await self.come_again(response)

    async def one_clip(self, http: httpx.AsyncClient) -> None:
        began = time.monotonic()
        response = await http.post("/v1/predict/recording", files={"file": ("clip.mp4", self.clip)})
        self.statuses["upload"][response.status_code] += 1
        place, pause = response.headers.get("Location", ""), 0.5
        while response.status_code == 202 or (response.status_code == 409 and "result" in str(response.url)):
            await asyncio.sleep(pause)
            pause = min(1.5 * pause, 5.0)
            response = await http.get(f"{place}/result")
            self.statuses["job"][response.status_code] += 1
            if time.monotonic() > self.until + ENDED_S:
                self.wrong.append(f"{place} does not end")
                return
        if response.status_code == 200:
            self.taken["clip"].append(time.monotonic() - began)
            self.answers[response.text] += 1
            await http.delete(place)
        elif place:
            self.wrong.append(f"{place}: {response.status_code} {response.text[:200]}")
        await self.come_again(response)

    async def come_again(self, response: httpx.Response) -> None:
        if response.status_code == 429:
            await asyncio.sleep(min(float(response.headers["Retry-After"]), 5.0))

    async def watch(self, memory: list[tuple[float, dict[int, int]]]) -> None:
        began = time.monotonic()
        while not self.ended:
            memory.append((time.monotonic() - began, await asyncio.to_thread(self.server.memories)))
            await asyncio.sleep(1.0)

    async def run(self, clients: int) -> list[tuple[float, dict[int, int]]]:
        """Let them all ask, until the last one has its answer; seconds and bytes of each process, over time."""
        memory: list[tuple[float, dict[int, int]]] = []
        limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
        async with httpx.AsyncClient(base_url=self.server.url, timeout=300, limits=limits) as http:
            work = [self.client(number, http) for number in range(clients)]
            watch = asyncio.create_task(self.watch(memory))
            await asyncio.gather(*work)
            self.ended = True
            await watch
        return memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--clip", type=Path, help="a recording (default: 10 s of the clip that comes with mecam)")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mecam-load-") as name:
        found = loaded(Path(name), options)
    text = json.dumps(found, indent=1)
    print(text)
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")
    sys.exit(1 if found["wrong"] else 0)


def loaded(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    clip = (options.clip or shorter(folder / "clip.mp4")).read_bytes()
    with Server(folder, "--workers", options.workers, "--live", 0) as server:
        load = Load(server, clip, options.seconds)
        began = time.monotonic()
        memory = asyncio.run(load.run(options.clients))
        passed = time.monotonic() - began  # the last clips take longer than the load
        told_by_server = means(server)
        wrong = [*load.wrong[:20], *server_faults(server, load)]
        log = server.said()
    rows, (number, *_) = len(memory) // 4, memory[0][1]
    held = [sum(each.values()) / 1e6 for _, each in memory]
    by_server = [each[number] / 1e6 for _, each in memory]
    line = statistics.linear_regression([at for at, _ in memory[2 * rows :]], held[2 * rows :])
    return {
        "clients": options.clients,
        "seconds": options.seconds,
        "workers": options.workers,
        "statuses": {kind: dict(sorted(counts.items())) for kind, counts in load.statuses.items()},
        "seconds_in_all": round(passed, 1),
        "answers": {kind: len(taken) for kind, taken in load.taken.items()},
        "clips_per_second": round(len(load.taken["clip"]) / passed, 2),
        "seconds_waited": {kind: told(taken) for kind, taken in load.taken.items() if taken},
        "means_of_the_server": told_by_server,
        "memory_mb": {
            "first": round(held[0]),
            "most": round(max(held)),
            "last": round(held[-1]),
            "growth_mb": round(statistics.median(held[-rows:]) - statistics.median(held[rows : 2 * rows]), 1),
            "slope_mb_per_minute": round(60 * line.slope, 2),
            "of_the_server": [round(one) for one in by_server[:: max(1, len(held) // 20)]],
            "series": [round(one) for one in held[:: max(1, len(held) // 40)]],
        },
        "different_answers": len(load.answers),
        "wrong": wrong + ([log[-2000:]] if "Traceback" in log else []),
        "cores": len(os.sched_getaffinity(0)),
        "processor": processor(),
        "mecam": __version__,
    }


def means(server: Server) -> dict[str, float]:
    """How long the server says that things take, on average, and how large its batches are."""
    sums: dict[str, dict[str, float]] = {}
    for line in httpx.get(f"{server.url}/metrics", timeout=30).text.splitlines():
        name, _, value = line.rpartition(" ")
        for end in ("_sum", "_count"):
            base, found, labels = name.partition(end)
            if found and not line.startswith("#"):
                sums.setdefault(f"{base}{labels}", {})[end] = float(value)
    wanted = ("mecam_batch", "mecam_model", "mecam_job_s", 'mecam_request_seconds{route="/v1/predict/text"}')
    kept = {name: one for name, one in sums.items() if name.startswith(wanted) and one.get("_count")}
    return {name: round(one["_sum"] / one["_count"], 4) for name, one in kept.items()}


def server_faults(server: Server, load: Load) -> list[str]:
    """What must not be."""
    wrong = [
        f"{count} × {status}" for counts in load.statuses.values() for status, count in counts.items() if status >= 500
    ]
    if len(load.answers) > 1:
        wrong.append(f"the clip has {len(load.answers)} different answers")
    if left := left_over(server.data):
        wrong.append(f"files are left: {left[:5]}")
    return wrong


def shorter(path: Path) -> Path:
    """The first ten seconds of the clip that comes with mecam, not encoded again."""
    from mecam.pretrained.cards import DEMO_CLIP

    with av.open(str(DEMO_CLIP)) as source, av.open(str(path), "w") as target:
        streams = {one.index: target.add_stream_from_template(one) for one in source.streams}
        for packet in source.demux():
            if packet.dts is not None and packet.dts * packet.time_base < CLIP_S:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    return path


def told(values: list[float]) -> dict[str, float]:
    marks = statistics.quantiles(values, n=100) if len(values) > 1 else values * 99
    return {
        "p50": round(marks[49], 3),
        "p90": round(marks[89], 3),
        "p99": round(marks[98], 3),
        "most": round(max(values), 3),
    }


if __name__ == "__main__":
    main()
