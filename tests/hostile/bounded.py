"""Run something in a process of its own with little memory and little time, and tell how it ended."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MEMORY_BYTES = 1536 << 20
"""What a job may take beyond what importing its modules took."""
SECONDS = 60.0
"""What one file may take."""

_LIMITED = """
import json, resource, sys
{imports}
import mecam.errors
with open("/proc/self/statm") as statm:
    now = int(statm.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + {memory}, now + {memory}))
for line in sys.stdin:
    given = json.loads(line)
    try:
        told = ["done", {call}]
    except mecam.errors.MecamError as error:
        told = ["refused", str(error)]
    except BaseException as error:
        told = ["failed", f"{{type(error).__name__}}: {{error}}"[:300]]
    print(json.dumps(told), flush=True)
"""


@dataclass(frozen=True)
class Ended:
    """How a job ended: `done`, `refused` (a clear error), `failed` (any other exception), `killed` or `late`."""

    how: str
    told: Any = None

    @property
    def well(self) -> bool:
        """True for an answer or a clear error of reasonable size."""
        return self.how == "done" or (self.how == "refused" and 0 < len(self.told) < 2000)


def run_bounded(jobs: list[Any], *, imports: str, call: str, seconds: float = SECONDS) -> list[Ended]:
    """Run `call` for every job in one process after another; a new one is started where one dies.

    Args:
        jobs: JSON values; `call` sees each as `given`.
        imports: Python lines that are run before memory is limited.
        call: a Python expression that gives a JSON value.
        seconds: that one job may take.
    """
    ended: list[Ended] = []
    program = _LIMITED.format(imports=imports, call=call, memory=MEMORY_BYTES)
    while len(ended) < len(jobs):
        ended += _until_it_dies(jobs[len(ended) :], program, seconds)
    return ended


def _until_it_dies(jobs: list[Any], program: str, seconds: float) -> list[Ended]:
    import threading

    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    ended = []
    late = False
    try:
        for number, job in enumerate(jobs):
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()

            def stop() -> None:
                nonlocal late
                late = True
                process.kill()

            watch = threading.Timer(seconds + (30 if not number else 0), stop)  # the first waits for the imports too
            watch.start()
            line = process.stdout.readline()
            watch.cancel()
            if not line:
                return [*ended, Ended("late" if late else "killed")]
            ended.append(Ended(*json.loads(line)))
    except BrokenPipeError:
        return [*ended, Ended("killed")]
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
    return ended


def mutants(content: bytes, count: int, seed: int) -> list[bytes]:
    """The content with bytes flipped, overwritten, cut out, doubled, cut off, or set to extreme numbers."""
    import random

    rng = random.Random(seed)
    made = []
    for _ in range(count):
        changed = bytearray(content)
        for _ in range(rng.choice((1, 1, 2, 4, 16))):
            if not changed:
                break
            # most of what a reader goes by stands near the beginning or the end
            at = rng.choice((rng.randrange(len(changed)), rng.randrange(min(len(changed), 512)), len(changed) - 1))
            kind = rng.randrange(7)
            length = rng.choice((1, 2, 4, 8, 64))
            if kind == 0:
                changed[at] ^= 1 << rng.randrange(8)
            elif kind == 1:
                changed[at : at + length] = rng.randbytes(length)
            elif kind == 2:
                del changed[at : at + length]
            elif kind == 3:
                changed[at:at] = changed[at : at + length]
            elif kind == 4:
                del changed[max(at, 1) :]
            elif kind == 5:
                changed[at : at + length] = b"\xff" * length
            else:
                changed[at : at + length] = bytes(length)
        made.append(bytes(changed))
    return made


def write_all(folder: Path, contents: list[bytes], suffix: str) -> list[str]:
    """Write contents as files; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, content in enumerate(contents):
        path = folder / f"{number:04}{suffix}"
        path.write_bytes(content)
        paths.append(str(path))
    return paths
