"""What a baseline of the person is worth: eight emotions of RAVDESS from voice and face, without and with it.

    python benchmarks/person_baseline.py --data FOLDER --work FOLDER [--choose]

FOLDER holds `ravdess/`: the clips, `label.csv`, `openface_au.npz` (OpenFace's action units, a vector for each clip).
A logistic regression reads `mecam-voice`, pooled over each clip, and the action units. With a baseline of 1 or 3
neutral clips of the same person it reads beside them how voice and face differ from those. Clips that are a baseline
are left out of the test; the mean is taken over all choices of them. It learns from actors 1 to 13 and is tested on 16
to 18. `--choose` shows what its strength was chosen by: actors 1 to 15, three at a time left out.
"""

import argparse
import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score

from mecam.features.audio.prosody import LevelledProsody
from mecam.features.media import Media
from mecam.prediction.voice_reading import pooled, relative, sounding

LEARN, CHOOSE, TEST = range(1, 14), range(1, 16), range(16, 19)
STRENGTHS = (0.003, 0.01, 0.03)
CHOSEN = 0.01
DRAWS = 4
"""Baselines of each person that are learned from."""


@dataclass(frozen=True)
class Clips:
    """RAVDESS.

    Attributes:
        rows: of `mecam-voice`, of each clip.
        units: N × 35, the square root of the action units, which are mostly small.
        actor: N.
        emotion: N.
    """

    rows: list[NDArray[np.float32]]
    units: NDArray[np.float64]
    actor: NDArray[np.int64]
    emotion: NDArray[np.str_]

    def neutral(self, actor: int) -> NDArray[np.int64]:
        return np.flatnonzero((self.actor == actor) & (self.emotion == "neutral"))

    def voice(self, clips: Sequence[int]) -> NDArray[np.float64]:
        """Clips pooled together."""
        rows = np.concatenate([self.rows[i][sounding(self.rows[i])] for i in clips])
        return pooled(rows, np.ones(len(rows)))

    def inputs(self, clip: int, baseline: Sequence[int]) -> NDArray[np.float64]:
        plain = [self.voice([clip]), self.units[clip]]
        if len(baseline):
            usual = self.voice(baseline)
            plain += [relative(plain[0], usual), self.units[clip] - self.units[list(baseline)].mean(axis=0)]
        return np.concatenate(plain)


def read(data: Path, work: Path) -> Clips:
    folder, place = data / "ravdess", work / "ravdess-clean.npz"
    with (folder / "label.csv").open(encoding="utf-8") as file:
        labels = list(csv.DictReader(file))
    if not place.exists():
        work.mkdir(parents=True, exist_ok=True)
        files = {label["name"]: folder / "flac" / Path(label["flac"]).name for label in labels}
        np.savez(place, **{name: LevelledProsody()(Media(file)).values for name, file in files.items()})
    units = np.load(folder / "openface_au.npz")
    shown = dict(zip(units["name"], np.sqrt(np.maximum(units["au"], 0)), strict=True))
    with np.load(place) as rows:
        return Clips(
            [rows[label["name"]] for label in labels],
            np.array([shown[label["name"]] for label in labels], np.float64),
            np.array([int(label["actor"]) for label in labels]),
            np.array([label["emotion"] for label in labels]),
        )


def learned_from(clips: Clips, actor: int, count: int) -> Iterator[tuple[int, list[int]]]:
    """Every clip of an actor with some baselines of others of their neutral clips."""
    rng = np.random.default_rng(actor)
    for clip in np.flatnonzero(clips.actor == actor):
        others = np.setdiff1d(clips.neutral(actor), [clip])
        for _ in range(DRAWS if count else 1):
            yield int(clip), list(rng.permutation(others)[:count])


def tested_on(clips: Clips, actor: int, count: int) -> Iterator[tuple[int, list[int]]]:
    """Every choice of a baseline, with all clips that are not in it."""
    for baseline in combinations(clips.neutral(actor), count):
        for clip in np.setdiff1d(np.flatnonzero(clips.actor == actor), baseline):
            yield int(clip), list(baseline)


def uar(clips: Clips, count: int, strength: float, learn: Sequence[int], test: Sequence[int]) -> float:
    known = [pair for actor in learn for pair in learned_from(clips, actor, count)]
    asked = [pair for actor in test for pair in tested_on(clips, actor, count)]
    inputs = np.array([clips.inputs(*pair) for pair in known])
    mean, scale = np.nanmean(inputs, axis=0), np.nanstd(inputs, axis=0) + 1e-6

    def normal(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.nan_to_num((values - mean) / scale).clip(-5, 5)

    model = LogisticRegression(C=strength / (DRAWS if count else 1), max_iter=300, class_weight="balanced")
    model.fit(normal(inputs), clips.emotion[[clip for clip, _ in known]])
    found = model.predict(normal(np.array([clips.inputs(*pair) for pair in asked])))
    return float(recall_score(clips.emotion[[clip for clip, _ in asked]], found, average="macro"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--choose", action="store_true")
    given = parser.parse_args()
    clips = read(given.data, given.work)
    for count in (0, 1, 3):
        if given.choose:
            folds = [[actor for actor in CHOOSE if actor % 5 == fold] for fold in range(5)]
            for strength in STRENGTHS:
                found = [uar(clips, count, strength, [a for a in CHOOSE if a not in fold], fold) for fold in folds]
                print(f"{count} neutral clips, C = {strength:g}: UAR {np.mean(found):.3f} of actors left out")
        else:
            print(f"{count} neutral clips: UAR {uar(clips, count, CHOSEN, LEARN, TEST):.3f} of actors 16 to 18")


if __name__ == "__main__":
    main()
