"""What no client should send: requests made from the description of the service, and a corpus of broken uploads.

    PYTHONPATH=src:tests python benchmarks/serve_fuzz.py --output fuzz.json
    PYTHONPATH=src:tests python benchmarks/serve_fuzz.py --examples 10 --uploads 2      # a quick look

schemathesis sends what `/openapi.json` allows and what it does not. The uploads are recordings that were damaged, files
that attack readers (`--cases`), forms that are cut off, mislabelled or nested, names that are paths, and requests that
are no HTTP. Afterwards the service must have answered none of them with a status from 500 on (but for 503 and 507,
which are documented), must be alive, and must keep no file.
"""

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from import_fuzz import damaged
from mecam.version import __version__
from media_fuzz import seeds
from raw_http import Sent, broken_requests, form, send, upload
from serve_process import Server, left_over

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
ALLOWED = frozenset({503, 507})
CLIENTS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=600, help="per operation and phase, of schemathesis")
    parser.add_argument("--uploads", type=int, default=30, help="damaged recordings of each kind")
    parser.add_argument("--cases", type=Path, help="a folder of files that attack readers")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mecam-fuzz-") as name:
        folder = Path(name)
        # What ends is soon forgotten: then nothing may be left.
        with Server(folder, "--readers", "2", "--keep-minutes", "0.1", "--max-upload-mb", "20") as server:
            found = {
                "schemathesis": by_description(server, folder, options),
                "uploads": by_hand(server, folder, options),
            }
            found["after"] = after(server)
    found |= {"mecam": __version__, "seed": options.seed}
    text = json.dumps(found, indent=1)
    print(text)
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")
    sys.exit(0 if not found["after"]["wrong"] and found["schemathesis"]["status"] == 0 else 1)


def by_description(server: Server, folder: Path, options: argparse.Namespace) -> dict[str, object]:
    """Requests of schemathesis."""
    began = time.monotonic()
    command = [str(Path(sys.executable).parent / "schemathesis"), "run", f"{server.url}/openapi.json"]
    command += ["--max-examples", str(options.examples), "--seed", str(options.seed), "--checks", CHECKS]
    command += ["--phases", "coverage,fuzzing,stateful", "--continue-on-failure", "--request-timeout", "120"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    generated = re.search(r"(\d+) generated", done.stdout)
    told = done.stdout.partition("= FAILURES =")[2].partition("= WARNINGS =")[0]
    return {
        "requests": int(generated[1]) if generated else 0,
        "seconds": round(time.monotonic() - began, 1),
        "status": done.returncode,
        "failures": told[-4000:] if done.returncode else "",
    }


def by_hand(server: Server, folder: Path, options: argparse.Namespace) -> dict[str, object]:
    """The corpus of broken uploads."""
    began = time.monotonic()
    cases = [*broken_uploads(folder, options), *broken_requests()]
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(lambda case: send(server.port, case), cases))
    wrong = [f"{case.name}: {answer}" for case, answer in zip(cases, answers, strict=True) if bad(case, answer)]
    return {
        "requests": len(cases),
        "seconds": round(time.monotonic() - began, 1),
        "answers": {str(answer): count for answer, count in sorted(Counter(answers).items(), key=str)},
        "wrong": wrong,
    }


def bad(case: Sent, answer: int | str) -> bool:
    """Whether this is no answer to such a request."""
    if isinstance(answer, str):
        return not (case.may_be_silent or case.hang_up)
    return answer >= 500 and answer not in ALLOWED


def broken_uploads(folder: Path, options: argparse.Namespace) -> Iterator[Sent]:
    """Damaged recordings, and files that attack readers as recording, transcript and baseline."""
    place = folder / "seeds"
    place.mkdir()
    whole = seeds(place)
    for kind, content in whole.items():
        random_ = random.Random(f"{options.seed} {kind}")
        for case in range(options.uploads):
            yield upload(f"damaged {kind} {case}", [("file", f"{case}.{kind}", damaged(content, random_))])
    for path in sorted(options.cases.rglob("*")) if options.cases else ():
        if path.is_file():
            content, sound = path.read_bytes(), whole["wav"]
            yield upload(f"{path.name} as recording", [("file", path.name, content)])
            yield upload(f"{path.name} as transcript", [("file", "a.wav", sound), ("transcript", path.name, content)])
            yield upload(f"{path.name} as baseline", [("file", "a.wav", sound), ("baseline", path.name, content)])
    for part in ("transcript", "baseline"):
        for case in range(options.uploads):
            random_ = random.Random(f"{options.seed} {part} {case}")
            given = random_.randbytes(random_.randrange(1, 5000))
            ending = random_.choice(["vtt", "srt", "json", "csv", "txt", "mp4", ""])
            yield upload(f"random {part} {case}", [("file", "a.wav", whole["wav"]), (part, f"t.{ending}", given)])
    body, boundary = form([("file", "a.wav", whole["wav"])])
    for case in range(options.uploads):
        random_ = random.Random(f"{options.seed} form {case}")
        yield upload(f"damaged form {case}", body=damaged(body, random_), boundary=boundary)


def after(server: Server) -> dict[str, object]:
    """What is left when all is done and forgotten."""
    wrong: list[str] = []
    until = time.monotonic() + 120
    while time.monotonic() < until and (left := left_over(server.data)):
        time.sleep(1)
    numbers = httpx.get(f"{server.url}/metrics", timeout=10).text
    counts = re.findall(r'mecam_requests_total{method="(\w+)",route="([^"]+)",status="(\d+)"} (\d+)', numbers)
    statuses: Counter[int] = Counter()
    for method, route, status, count in counts:
        statuses[int(status)] += int(float(count))
        if int(status) >= 500 and int(status) not in ALLOWED:
            wrong.append(f"{count} × {status} of {method} {route}")
    if left:
        wrong.append(f"{len(left)} files are left: {left[:5]}")
    if "Traceback" in (said := server.said()):
        wrong.append(f"a traceback is in the log: {said[-2000:]}")
    memory = round(server.memory() / 1e6)
    return {"statuses": dict(sorted(statuses.items())), "requests": sum(statuses.values()), "wrong": wrong} | {
        "memory_mb": memory,
        "text": httpx.post(f"{server.url}/v1/predict/text", json={"text": "Still there."}).status_code,
    }


if __name__ == "__main__":
    main()
