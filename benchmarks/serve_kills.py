"""The service is killed while jobs run: nothing that was accepted is lost, nothing is answered twice, no file is left.

    PYTHONPATH=src:tests python benchmarks/serve_kills.py --output kills.json

In each round some recordings are handed in, and at a random moment something gets SIGKILL: the whole service (with all
its processes), its server process alone, one of several server processes, or a process that reads. Where the service is
gone, it is started again. Then every job must be done, with the answer that it has undisturbed.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from clips import tone, wav
from mecam.version import __version__
from serve_process import Server, left_over

KINDS = ("group", "server", "worker", "reader")
ANSWER_S = 180.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=4, help="handed in each round")
    parser.add_argument("--clip", type=Path, help="a recording (default: the clip that comes with mecam)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mecam-kills-") as folder:
        found = tried(Path(folder), options)
    text = json.dumps({**found, "mecam": __version__, "seed": options.seed}, indent=1)
    print(text)
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")
    sys.exit(1 if found["wrong"] else 0)


def tried(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    from mecam.pretrained.cards import DEMO_CLIP

    clips = [options.clip or DEMO_CLIP, wav(folder / "tone.wav", tone(5.0), 16_000)]
    draw, wrong, rounds = random.Random(options.seed), [], []
    for number in range(options.kills):
        kind = KINDS[number % len(KINDS)]
        several = ("--workers", "2") if kind == "worker" else ()
        with Server(folder / f"{number}", "--readers", "1", "--wait-s", "0", *several) as server:
            expected = {clip.name: answer(server, hand_in(server, clip)) for clip in clips}
            began = time.monotonic()
            ids = {hand_in(server, clips[i % 2]): clips[i % 2].name for i in range(options.jobs)}
            time.sleep(draw.uniform(0.0, 4.0))
            after = round(time.monotonic() - began, 2)
            struck = strike(server, kind, draw)
            seconds, problems = finished(server, ids, expected)
            wrong += [f"round {number} ({kind}): {problem}" for problem in problems]
            rounds.append({"kind": kind, "struck": struck, "after_s": after, "finished_s": seconds})
            print(rounds[-1], file=sys.stderr)
    return {"kills": Counter(one["kind"] for one in rounds), "rounds": rounds, "wrong": wrong}


def hand_in(server: Server, clip: Path) -> str:
    """The id of a job that was accepted."""
    with clip.open("rb") as file:
        response = httpx.post(
            f"{server.url}/v1/predict/recording",
            files={"file": (clip.name, file)},
            headers={"Prefer": "respond-async"},
            timeout=60,
        )
    assert response.status_code == 202, response.text
    id: str = response.json()["id"]
    return id


def answer(server: Server, id: str) -> Any:
    """What came out, once it has; a service that is starting is waited for."""
    until, last = time.monotonic() + ANSWER_S, "nothing"
    while time.monotonic() < until:
        try:
            response = httpx.get(f"{server.url}/v1/jobs/{id}/result", timeout=10)
        except httpx.TransportError as error:
            last = type(error).__name__
        else:
            if response.status_code == 200:
                return response.json()
            last = response.text
            if response.status_code != 409:
                break
        time.sleep(0.1)
    return last


def strike(server: Server, kind: str, draw: random.Random) -> str:
    """Kill something, and start again what does not come back by itself."""
    if kind == "reader":
        victims = server.readers()
        if victims:
            victims[draw.randrange(len(victims))].kill()
        return f"{len(victims)} readers"
    if kind == "worker":
        workers = [one for one in server.processes()[1:] if any(two.pid != one.pid for two in one.children())]
        if workers:
            workers[draw.randrange(len(workers))].kill()
        return f"{len(workers)} workers"
    if kind == "group":
        server.kill()
    else:
        os.kill(server.pid, signal.SIGKILL)
        assert server.process is not None
        server.process.wait()
        time.sleep(draw.uniform(0.0, 1.0))
    server.start(wait=False)
    return "the service"


def finished(server: Server, ids: dict[str, str], expected: dict[str, Any]) -> tuple[float, list[str]]:
    """How long it took until all was there, and what is wrong with it."""
    began, problems = time.monotonic(), []
    for id, name in ids.items():
        found = answer(server, id)
        if found != expected[name]:
            problems.append(f"{name}: {str(found)[:300]}")
    seconds = round(time.monotonic() - began, 2)
    for id in ids:
        httpx.delete(f"{server.url}/v1/jobs/{id}", timeout=30)
    left = [file for file in left_over(server.data) if any(id in file for id in ids)]
    problems += [f"{len(left)} files are left: {left[:3]}"] if left else []
    return seconds, problems


if __name__ == "__main__":
    main()
