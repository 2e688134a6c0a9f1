"""Whether people keep their numbers and the speaker is found, in real clips side by side.

    python benchmarks/people.py --data FOLDER --work FOLDER --output people.json

The data folder holds `video/`: clips of the GRID corpus (*.mpg, one per speaker, with sound), and others whose faces
only listen. Scenes of two or three people are made of them, in shots of three seconds: turns without a cut, hard cuts
to swapped sides, to fewer people and back, in another size and light. The sound is that of one person. In `turns` the
others rest (the moments before they speak, to and fro). In `all talk` they speak their own sentence, unheard, at the
same time; one is heard throughout, or another in each shot. There is one clip a speaker, so that a person who is seen
again says the same; what is new is size, light and place. A second counts as right if most of its rows are;
`speaker_rows` is the share of rows.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from mecam.features.extractor import extractor
from mecam.features.media import Media
from mecam.features.people import People
from mecam.features.vision.face_models import Box, crop
from mecam.synthetic.clips.render import write_clip

RATE, SOUND_RATE = 25.0, 16_000
SIDE = 288
"""Pixels of the square that each person fills."""
SECONDS = 3.0
REST = 10
"""Frames before anybody of the corpus speaks."""
LISTENERS = ("driving_d18.mp4", "driving_d11.mp4", "driving_d12.mp4", "single_face.mp4")


@dataclass(frozen=True)
class Clip:
    """A person's pictures, square, and their sound."""

    name: str
    pictures: list[NDArray[np.uint8]] = field(repr=False)
    sound: NDArray[np.float32] = field(repr=False)
    _closer: dict[tuple[int, float, float], NDArray[np.uint8]] = field(default_factory=dict, repr=False)

    def picture(self, number: int, *, rests: bool, zoom: float, light: float) -> NDArray[np.uint8]:
        """The one to be shown; it begins again at its end."""
        if rests and self.name.endswith(".mpg"):
            number %= 2 * REST - 2  # to and fro
            number = min(number, 2 * REST - 2 - number)
        number %= len(self.pictures)
        if (number, zoom, light) not in self._closer:
            middle = SIDE / 2
            closer = crop(self.pictures[number], Box(middle, middle, SIDE / zoom), SIDE) * (light * 255)
            self._closer[number, zoom, light] = np.rint(closer).astype(np.uint8)
        return self._closer[number, zoom, light]


@dataclass(frozen=True)
class Shot:
    """Some seconds: who is seen, from left to right, who is heard, how large and how light."""

    seen: tuple[int, ...]
    heard: int
    zoom: float = 1.0
    light: float = 1.0


@dataclass(frozen=True)
class Scene:
    """Shots of the same people."""

    kind: str
    people: tuple[str, ...]
    shots: tuple[Shot, ...]
    all_talk: bool


def read(path: Path) -> Clip:
    """A clip as squares around the middle of the picture."""
    media = Media(path)
    pictures = []
    for frame in media.frames(rate=RATE):
        height, width = frame.image.shape[:2]
        found = crop(frame.image, Box(width / 2, height / 2, min(height, width)), SIDE)
        pictures.append(np.rint(found * 255).astype(np.uint8))
    sound = media.waveform(rate=SOUND_RATE)[1] if media.sound else np.zeros(0, np.float32)
    return Clip(path.name, pictures, sound)


def scenes(speakers: Sequence[str], listeners: Sequence[str]) -> Iterator[Scene]:
    """All pairs of speakers, each speaker beside somebody who only listens, and triples."""
    turns = (
        Shot((0, 1), 0),
        Shot((0, 1), 1),
        Shot((1, 0), 0, zoom=1.15, light=0.85),
        Shot((1,), 1, zoom=1.1),
        Shot((0, 1), 0),
    )
    one = (Shot((0, 1), 0), Shot((1, 0), 0, zoom=1.15, light=0.85), Shot((0,), 0, zoom=1.1), Shot((0, 1), 0))
    for two in combinations(speakers, 2):
        yield Scene("two, turns", two, turns, all_talk=False)
        yield Scene("two, all talk, one is heard", two, one, all_talk=True)
        yield Scene("two, all talk, heard in turns", two, turns, all_talk=True)
    for number, speaker in enumerate(speakers):
        yield Scene("two, one only listens", (speaker, listeners[number % len(listeners)]), one, all_talk=True)
    turns = (
        Shot((0, 1, 2), 0),
        Shot((0, 1, 2), 2),
        Shot((2, 0, 1), 1, light=0.85),
        Shot((1, 2), 2, zoom=1.15),
        Shot((0, 1, 2), 0),
    )
    one = (Shot((0, 1, 2), 0), Shot((2, 0, 1), 0, light=0.85), Shot((0, 2), 0, zoom=1.15), Shot((0, 1, 2), 0))
    for number in range(len(speakers)):
        three = tuple(speakers[(number + step) % len(speakers)] for step in range(3))
        yield Scene("three, turns", three, turns, all_talk=False)
        yield Scene("three, all talk, one is heard", three, one, all_talk=True)
        yield Scene("three, all talk, heard in turns", three, turns, all_talk=True)


def render(scene: Scene, clips: dict[str, Clip], place: Path) -> Path:
    """Write the clip of a scene; all shots have the size of the widest."""
    widest = max(len(shot.seen) for shot in scene.shots)
    people = [clips[name] for name in scene.people]

    def pictures() -> Iterator[NDArray[np.uint8]]:
        for shot in scene.shots:
            for number in range(round(SECONDS * RATE)):
                row = np.zeros((SIDE, widest * SIDE, 3), np.uint8)
                left = (widest - len(shot.seen)) * SIDE // 2
                for at, who in enumerate(shot.seen):
                    rests = who != shot.heard and not scene.all_talk
                    shown = people[who].picture(number, rests=rests, zoom=shot.zoom, light=shot.light)
                    row[:, left + at * SIDE : left + (at + 1) * SIDE] = shown
                yield row

    length = round(SECONDS * SOUND_RATE)
    heard = [people[shot.heard].sound[:length] for shot in scene.shots]
    sound = np.concatenate([np.pad(one, (0, length - len(one))) for one in heard])
    return write_clip(place, pictures(), rate=RATE, sound=sound, sound_rate=SOUND_RATE)


def score(scene: Scene, people: People) -> dict[str, float]:
    """Seconds for most of which everybody visible has the right number, the speaker is right, and both."""
    times = people.intervals.mean(axis=1)
    shots = [scene.shots[min(int(time / SECONDS), len(scene.shots) - 1)] for time in times]
    found = places(scene, people, shots)
    count = np.array([[(row == place).sum() for place in range(len(people.persons))] for row in found.T])
    right = dict(zip(*linear_sum_assignment(-count), strict=True))  # person → place in `people`
    speaks = np.full(len(times), -1)
    for place, (person, frames) in enumerate(zip(people.persons, people.frames, strict=True)):
        speaks[frames[person.speaking]] = place
    numbers = [all(found[row, who] == right.get(who, -2) for who in shot.seen) for row, shot in enumerate(shots)]
    speaker = [speaks[row] == right.get(shot.heard, -2) for row, shot in enumerate(shots)]
    rows = {"numbers": np.array(numbers), "speaker": np.array(speaker)}
    rows["both"] = rows["numbers"] & rows["speaker"]
    second = np.minimum(times, SECONDS * len(scene.shots) - 1).astype(int)
    shares = {key: np.bincount(second, right) / np.bincount(second) for key, right in rows.items()}
    seconds = {key: float((share > 0.5).mean()) for key, share in shares.items()}
    return {"seconds": int(second.max()) + 1, **seconds, "speaker_rows": float(rows["speaker"].mean())}


def places(scene: Scene, people: People, shots: Sequence[Shot]) -> NDArray[np.int64]:
    """Rows × the scene's people: the place in `people` of the face that is seen where they are; −1 for none."""
    widest = max(len(shot.seen) for shot in scene.shots)
    found = np.full((len(shots), len(scene.people)), -1)
    for place, (person, frames) in enumerate(zip(people.persons, people.frames, strict=True)):
        for frame, box in zip(frames, person.box, strict=True):
            seen = shots[frame].seen
            at = int((box[0] + box[2] / 2) * widest - (widest - len(seen)) / 2)
            if 0 <= at < len(seen):
                found[frame, seen[at]] = place
    return found


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Shares of the seconds, by kind of scene and over all."""
    result = {}
    for kind in [*dict.fromkeys(row["kind"] for row in rows), "all"]:
        mine = [row for row in rows if kind in (row["kind"], "all")]
        weights = [row["seconds"] for row in mine]
        shares = {
            key: float(np.average([row[key] for row in mine], weights=weights))
            for key in ("numbers", "speaker", "both", "speaker_rows")
        }
        result[kind] = {"scenes": len(mine), "seconds": sum(weights), **shares}
    return result


def main() -> None:
    """Measure, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with video/")
    parser.add_argument(
        "--work", type=Path, required=True, help="folder for the rendered scenes; what is there is used"
    )
    parser.add_argument("--every", type=int, default=1, help="measure every n-th scene [default: all]")
    parser.add_argument("--extractor", default="mecam-face", help="[default: mecam-face]")
    parser.add_argument("--output", type=Path, help="JSON; by default it is printed")
    asked = parser.parse_args()
    folder = asked.data / "video"
    speakers = sorted(path.name for path in folder.glob("*.mpg"))
    clips = {name: read(folder / name) for name in (*speakers, *LISTENERS)}
    asked.work.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, scene in list(enumerate(scenes(speakers, LISTENERS)))[:: asked.every]:
        place = asked.work / f"{scene.kind} {' '.join(scene.people)}.mp4".replace(" ", "_").replace(",", "")
        if not place.exists():
            render(scene, clips, place)
        people = extractor(asked.extractor).people(Media(place))  # type: ignore[attr-defined]
        rows.append({"scene": number, "kind": scene.kind, "who": scene.people, **score(scene, people)})
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    text = json.dumps({"extractor": asked.extractor, "summary": summary(rows), "scenes": rows}, indent=1)
    if asked.output is None:
        print(text)
    else:
        asked.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
