"""How an extraction on 1 to 1000 workers would go: a simulation, out of what was measured on one machine.

    python benchmarks/scale.py --measured extraction.json --figure docs/scale.svg --output scale.json

Nothing here was run on so many machines. A collection is drawn (lengths are lognormal), and each worker of the
simulated cluster takes the next recording, reads it from storage that all share, extracts it, and writes its part; the
driver hears of it, and writes the store meanwhile, in the order of the recordings. The longest tenth is begun first,
the others in order, as `mecam extract --ray` does it. Some machines are slow for the whole time, workers are lost and
come back, some files are broken. Efficiency is the work itself, on machines of usual speed, by workers × time.

Where the numbers come from: the speed of a core is that of the JSON of `extraction.py` (of processes side by side, else
of one, `everything`); without one it is 720p25 with voice and face on one of two cores, docs/video.md. What a recording
costs the driver is the most that `ray_bookkeeping.py` may find. A store has 0.026 MB for a second of video; a driver
with a core of its own wrote 0.46 GB a second. Machines, storage and losses are assumptions. All are in the result.
"""

import argparse
import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import simpy

from mecam.features.ray_extraction import FIRST

WORKERS = (1, 10, 30, 100, 300, 1000)
BANDWIDTHS = (1.0, 5.0, 20.0)


@dataclass(frozen=True)
class Case:
    """What is simulated.

    Attributes:
        recordings: in the collection.
        mean_seconds: of video in one.
        spread: sigma of the logarithm of the lengths.
        times_real_time: of a worker, which has one core.
        megabytes_per_second: of video, in the files.
        store_megabytes_per_second: of video, in the parts and the store.
        storage_gb_s: that the storage gives to all workers together.
        connection_gb_s: that one worker gets at the most.
        slow_share: of the workers, which work at half the speed.
        noise: sigma of the logarithm of a recording's time beside its length.
        broken: share of recordings that fail, half way through.
        hours_between_losses: of one worker, in the mean; what it had in work is done again.
        restart_seconds: until a worker reads its first recording, at first and after a loss.
        driver_ms: of the driver for each recording.
        store_mb_s: at which the driver reads parts, writes the store, and computes its SHA-256.
        seed: of all that is drawn.
    """

    recordings: int = 100_000
    mean_seconds: float = 300.0
    spread: float = 0.8
    times_real_time: float = 7.5
    megabytes_per_second: float = 0.19
    store_megabytes_per_second: float = 0.026
    storage_gb_s: float = 5.0
    connection_gb_s: float = 0.1
    slow_share: float = 0.05
    noise: float = 0.2
    broken: float = 0.01
    hours_between_losses: float = 24.0
    restart_seconds: float = 20.0
    driver_ms: float = 5.0
    store_mb_s: float = 400.0
    seed: int = 1


class Cluster:
    """One simulation.

    Args:
        case: the collection, the machines, the storage.
        workers: how many.
        lengths: of the recordings in seconds, in the order of the store.
    """

    def __init__(self, case: Case, workers: int, lengths: list[float]) -> None:
        self._case, self._workers, self._lengths = case, workers, lengths
        longest = sorted(range(len(lengths)), key=lambda i: -lengths[i])[: len(lengths) // FIRST]
        early = set(longest)
        self._left = iter([*longest, *(i for i in range(len(lengths)) if i not in early)])
        self._done_at = [0.0] * len(lengths)
        self._draw = random.Random(case.seed)
        self._env = simpy.Environment()
        channels = max(1, round(case.storage_gb_s / case.connection_gb_s))
        self._storage = simpy.Resource(self._env, channels)
        self._driver = simpy.Resource(self._env, 1)
        self.core_seconds: Counter[str] = Counter()
        self.losses = 0

    def run(self) -> tuple[float, float]:
        """Simulate.

        Returns: seconds until the last part is there, and until the store is.
        """
        for number in range(self._workers):
            self._env.process(self._work(slow=number < int(self._case.slow_share * self._workers)))
        self._env.run()
        store = 0.0
        for length, done_at in zip(self._lengths, self._done_at, strict=True):
            megabytes = length * self._case.store_megabytes_per_second
            store = max(store, done_at) + megabytes / self._case.store_mb_s
        return self._env.now, max(store, self._env.now)

    def _work(self, *, slow: bool) -> Iterator[Any]:
        yield from self._spent("starting", self._case.restart_seconds)
        loss = self._next_loss()
        for number in self._left:
            while not (yield from self._done(self._lengths[number], loss, slow=slow)):  # lost: it is done again
                yield from self._spent("starting", self._case.restart_seconds)
                loss = self._next_loss()
            self._done_at[number] = self._env.now

    def _done(self, length: float, loss: float, *, slow: bool) -> Iterator[Any]:
        """Read, extract and report a recording; False if the worker is lost on the way."""
        case, began = self._case, self._env.now
        with self._storage.request() as turn:
            yield turn
            yield self._env.timeout(length * case.megabytes_per_second / 1000 / case.connection_gb_s)
        self.core_seconds["waiting for storage"] += self._env.now - began
        usual = length / case.times_real_time * self._draw.lognormvariate(-(case.noise**2) / 2, case.noise)
        usual *= 0.5 if self._draw.random() < case.broken else 1.0
        takes = usual * (2.0 if slow else 1.0)
        if self._env.now + takes > loss:
            yield from self._spent("done again", max(loss - self._env.now, 0.0))
            self.losses += 1
            return False
        yield self._env.timeout(takes)
        self.core_seconds["extracting"] += usual
        self.core_seconds["slow machines"] += takes - usual
        began = self._env.now
        with self._driver.request() as turn:
            yield turn
            yield self._env.timeout(case.driver_ms / 1000)
        self.core_seconds["waiting for the driver"] += self._env.now - began
        return True

    def _spent(self, on: str, seconds: float) -> Iterator[Any]:
        yield self._env.timeout(seconds)
        self.core_seconds[on] += seconds

    def _next_loss(self) -> float:
        return self._env.now + self._draw.expovariate(1 / (3600 * self._case.hours_between_losses))


def simulated(case: Case, workers: int) -> dict[str, Any]:
    draw = random.Random(case.seed)
    mean_of_log = -(case.spread**2) / 2
    lengths = [case.mean_seconds * draw.lognormvariate(mean_of_log, case.spread) for _ in range(case.recordings)]
    cluster = Cluster(case, workers, lengths)
    parts, store = cluster.run()
    spent = dict(cluster.core_seconds)
    spent["idle at the end"] = workers * parts - sum(spent.values())
    spent["while the driver writes the store"] = workers * (store - parts)
    return {
        "workers": workers,
        "storage_gb_s": case.storage_gb_s,
        "hours": round(store / 3600, 3),
        "efficiency": round(spent["extracting"] / (workers * store), 4),
        "share_of_core_time": {name: round(seconds / (workers * store), 4) for name, seconds in spent.items()},
        "workers_lost": cluster.losses,
    }


def measured_speed(path: Path) -> float:
    """Times real time of one core, in the JSON of `extraction.py`."""
    known = json.loads(path.read_text(encoding="utf-8"))
    if "side_by_side" in known:
        return float(known["side_by_side"]["times_real_time"]) / int(known["side_by_side"]["processes"])
    return float(known["stages"]["everything"]["times_real_time"])


def draw_figure(results: list[dict[str, Any]], case: Case, path: Path) -> None:
    import altair as alt

    hours = case.recordings * case.mean_seconds / 3600
    title = f"Simulated, not measured: {hours:,.0f} h of video, a core at {case.times_real_time:.1f} × real time"
    rows = [{**one, "storage": f"{one['storage_gb_s']:g} GB/s"} for one in results]
    lines = alt.Chart(alt.Data(values=rows), title=title).mark_line(point=True)
    chart = lines.encode(
        x=alt.X("workers:Q", scale=alt.Scale(type="log"), title="workers (one core each)"),
        y=alt.Y("efficiency:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%"), title="efficiency"),
        color=alt.Color("storage:N", sort=[f"{one:g} GB/s" for one in BANDWIDTHS], title="shared storage"),
    )
    chart.properties(width=420, height=220).save(str(path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measured", type=Path, metavar="JSON", help="of benchmarks/extraction.py")
    parser.add_argument("--recordings", type=int, default=Case.recordings)
    parser.add_argument("--driver-ms", type=float, default=Case.driver_ms, help="of benchmarks/ray_bookkeeping.py")
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS)
    parser.add_argument("--figure", type=Path, metavar="SVG")
    parser.add_argument("--output", type=Path, metavar="JSON")
    options = parser.parse_args()
    speed = Case.times_real_time if options.measured is None else measured_speed(options.measured)
    case = Case(recordings=options.recordings, times_real_time=speed, driver_ms=options.driver_ms)
    cases = [replace(case, storage_gb_s=bandwidth) for bandwidth in BANDWIDTHS]
    results = [simulated(one, workers) for one in cases for workers in options.workers]
    source = "built in" if options.measured is None else options.measured.name
    text = json.dumps({"simulated": True, "speed_from": source, "case": asdict(case), "results": results}, indent=1)
    print(text)
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")
    if options.figure:
        draw_figure(results, case, options.figure)


if __name__ == "__main__":
    main()
