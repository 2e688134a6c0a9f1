"""Damage files of every layout and import them, with little memory: `python -m import_fuzz FOLDER CASES SEED NAME…`.

Prints what came of it as JSON. `tests/hostile/test_import_fuzz.py` runs it.
"""

import json
import random
import resource
import shutil
import struct
import sys
import time
from pathlib import Path

import numpy as np

from bounded import SECONDS, TooLong, limit_memory, limit_time
from import_seeds import seeds
from mecam.data.importing.importer import import_data
from mecam.data.store import Store
from mecam.errors import DataError

NUMBERS = (b"1e300", b"99999999999999999999", b"-1", b"nan", b"inf", b"0", b"1,5", b"", b"\xe2\x88\x921")
BINARY = [struct.pack(form, value) for form in ("<I", "<Q", ">d") for value in (0, 1, 1 << 16, (1 << 31) - 1)]
BINARY += [b"\xff" * 4, b"\xff" * 8, struct.pack("<Q", 1 << 40), struct.pack("<d", 1e300), struct.pack("<d", np.nan)]


def damaged(content: bytes, random_: random.Random) -> bytes:
    """The content after one to four changes."""
    data = bytearray(content)
    for _ in range(random_.randint(1, 4)):
        if not data:
            break
        at, length = random_.randrange(len(data)), random_.randint(1, 24)
        kind = random_.choice(["flip", "set", "cut", "drop", "swap", "repeat", "insert", "number", "binary", "fields"])
        if kind == "flip":
            data[at] ^= 1 << random_.randrange(8)
        elif kind == "set":
            data[at] = random_.randrange(256)
        elif kind == "cut" and random_.random() < 0.3:
            del data[at:]
        elif kind == "drop":
            del data[at : at + length]
        elif kind == "swap":
            other = random_.randrange(len(data))
            data[at : at + length], data[other : other + length] = data[other : other + length], data[at : at + length]
        elif kind == "repeat":
            data[at:at] = data[at : at + length] * random_.choice([1, 1, 300])
        elif kind == "insert":
            data[at:at] = bytes([random_.randrange(256)]) * length
        elif kind == "number":
            data[at : at + random_.randint(0, 4)] = random_.choice(NUMBERS)
        elif kind == "binary":
            value = random_.choice(BINARY)
            data[at : at + len(value)] = value
        else:
            data = fields_swapped(data, at, random_)
    return bytes(data)


def fields_swapped(data: bytearray, at: int, random_: random.Random) -> bytearray:
    """Two pieces between the same separators, exchanged: cells of a table, names of a pickle, keys of a header."""
    mark = random_.choice([b",", b";", b"\n", b"q", b"\x94", b"\x00", b"'"])
    parts = bytes(data[at : at + 4000]).split(mark)
    if len(parts) > 2:
        first, second = random_.sample(range(len(parts)), 2)
        parts[first], parts[second] = parts[second], parts[first]
        data[at : at + 4000] = mark.join(parts)
    return data


def outcome(folder: Path, files: list[bytes]) -> str:
    """`imported`, `refused`, or what is wrong."""
    paths = [folder / f"file{index}" for index in range(len(files))]
    for path, content in zip(paths, files, strict=True):
        path.write_bytes(content)
    held = sorted(path.name for path in folder.iterdir())
    try:
        limit_time()
        import_data(paths, folder / "store")
    except DataError as error:
        left = sorted(path.name for path in folder.iterdir())
        if left != held:
            return f"left behind: {left}"
        return f"no clear error: {error}" if "MemoryError" in str(error) else "refused"
    except TooLong:
        return f"longer than {SECONDS} s"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        limit_time(0)
    store = Store(folder / "store", verify=True)
    low, high = store.task.low, store.task.high
    for utterance in store:
        if not all(np.isfinite(rows[~np.isnan(rows)]).all() for rows in utterance.streams.values()):
            return "infinite features"
        if store.task.kind == "regression" and not low <= utterance.label <= high:
            return f"a label of {utterance.label}"
    shutil.rmtree(folder / "store")
    return "imported"


def main(folder: Path, cases: int, seed: int, importers: list[str]) -> None:
    files = seeds(folder)
    place = folder / "cases"
    place.mkdir()
    counts: dict[str, int] = {}
    problems, slowest = [], 0.0
    limit_memory()
    for importer in importers or list(files):
        assert outcome(place, files[importer]) == "imported", importer
        random_ = random.Random(f"{seed} {importer}")
        for case in range(cases):
            begun = time.monotonic()
            found = outcome(place, [damaged(files[importer][0], random_), *files[importer][1:]])
            slowest = max(slowest, time.monotonic() - begun)
            if found not in ("imported", "refused"):
                problems.append(f"{importer}, case {case}: {found}"[:500])
                shutil.copy(place / "file0", folder / f"problem{len(problems)}")
                shutil.rmtree(place / "store", ignore_errors=True)
                found = "problem"
            counts[found] = counts.get(found, 0) + 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    sys.stdout.write(json.dumps({"counts": counts, "problems": problems, "slowest": slowest, "peak": peak}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
