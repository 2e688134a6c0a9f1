"""Import files or read a configuration with little memory and little time: `python -m import_probe JOB…`.

A job is `FILE`, or `FILE+FILE` for several at once; a `.yaml` is read as a configuration. Prints, as JSON, what came of
each, how long it took, and the most memory of all.
"""

import json
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

from bounded import TooLong, limit_memory, limit_time
from mecam.config import read_yaml
from mecam.data.importing.importer import import_data
from mecam.data.store import Store
from mecam.errors import MecamError


def outcome(paths: list[Path], folder: Path) -> str:
    try:
        limit_time()
        if paths[0].suffix == ".yaml":
            read_yaml(paths[0])
            return "read"
        import_data(paths, folder / "store")
        return f"imported {len(Store(folder / 'store', verify=True))}"
    except MecamError as error:
        return f"refused: {error}"
    except TooLong:
        return "too long"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        limit_time(0)


def main(jobs: list[str]) -> None:
    limit_memory()
    results = []
    for job in jobs:
        folder = Path(tempfile.mkdtemp())
        begun = time.monotonic()
        found = outcome([Path(name) for name in job.split("+")], folder)
        left = sorted(path.name for path in folder.iterdir())
        shutil.rmtree(folder)
        results.append({"outcome": found, "left": left, "seconds": time.monotonic() - begun})
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    sys.stdout.write(json.dumps({"results": results, "peak": peak}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
