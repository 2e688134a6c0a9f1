"""How long one client waits for one sentence: the service on one core, the client on another.

    PYTHONPATH=src:tests python benchmarks/serve_latency.py --output latency.json

`client` is what a user of `mecam.client` waits, `wire` a request over a connection that stays open, `first` a request
over a new one. `model` is the same sentences through `mecam.predict_text` in one process on that core: what the service
adds is the difference. All in milliseconds.
"""

import argparse
import http.client
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from mecam.client import Client
from mecam.version import __version__
from serve_process import Server

SENTENCES = (
    "I loved it.",
    "What a waste of two hours.",
    "The acting was superb but the last half hour drags on and on, so I left before the end.",
    "He told me that he would think about it and let me know on Monday.",
    "I honestly cannot remember when a film made me laugh that much, and my sister felt the same.",
    "It is not bad.",
    "The train leaves at nine, and there is another one an hour later.",
    "Nobody told me that it would be that sad, and I cried for most of the second half of it.",
)
WARM = 50

MODEL = """
import json, sys, time
from mecam.threads import settle
settle()
import mecam
sentences, count = json.loads(sys.argv[1]), int(sys.argv[2])
taken = []
for i in range(count):
    began = time.perf_counter()
    mecam.predict_text(sentences[i % len(sentences)])
    taken.append(time.perf_counter() - began)
print(json.dumps(taken))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--core", type=int, default=0, help="of the service")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mecam-latency-") as folder:
        found = measured(Path(folder), options.requests, options.core)
    found |= {"requests": options.requests, "processor": processor(), "mecam": __version__}
    text = json.dumps(found, indent=1)
    print(text)
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")


def measured(folder: Path, count: int, core: int) -> dict[str, object]:
    all_cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})  # what is started now stays there
    server = Server(folder, "--readers", "1", "--live", "0")
    with server:
        os.sched_setaffinity(0, all_cores - {core} or all_cores)
        with Client(server.url) as client:
            by_client = times(lambda text: client.predict_text(text), count)
        kept = http.client.HTTPConnection("127.0.0.1", server.port)
        by_wire = times(lambda text: post(kept, text), count)
        by_new = times(lambda text: post(http.client.HTTPConnection("127.0.0.1", server.port), text), count)
        memory = server.memory()
    os.sched_setaffinity(0, {core})
    said = subprocess.check_output([sys.executable, "-c", MODEL, json.dumps(SENTENCES), str(WARM + count)], text=True)
    alone = json.loads(said)[WARM:]
    os.sched_setaffinity(0, all_cores)
    times_ms = {"client": by_client, "wire": by_wire, "first": by_new, "model": alone}
    return {"ms": {name: told(values) for name, values in times_ms.items()}, "memory_mb": memory / 1e6}


def times(ask: Callable[[str], object], count: int) -> list[float]:
    taken = []
    for i in range(WARM + count):
        began = time.perf_counter()
        ask(f"{SENTENCES[i % len(SENTENCES)]}")
        taken.append(time.perf_counter() - began)
    return taken[WARM:]


def post(connection: http.client.HTTPConnection, text: str) -> None:
    body = json.dumps({"text": text})
    connection.request("POST", "/v1/predict/text", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = json.loads(response.read())
    assert response.status == 200, answer


def told(values: list[float]) -> dict[str, float]:
    marks = statistics.quantiles(values, n=100)
    told = {"p50": marks[49], "p90": marks[89], "p99": marks[98], "max": max(values), "mean": statistics.fmean(values)}
    return {name: round(1000 * value, 3) for name, value in told.items()}


def processor() -> str:
    for line in (
        Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else ()
    ):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
