"""The gate for voices: how probably a row of `mecam-voice` is made from corrupted sound; and its card.

    python pretraining/voice_gate.py --data FOLDER --work FOLDER

FOLDER holds `emodb/` (CC0) and `ravdess/`. Each recording of EmoDB is heard clean and four times with a corruption of
`mecam.features.corruption` in a part of its time: three kinds in turn and one of burst, babble, packets and mute, at
level 2 to 5; babble is made of other speakers of EmoDB. The network's weight decay was chosen on EmoDB, five speakers
learned from and five left out. It is measured on corrupted voices of RAVDESS, which it never heard: all 18 actors, six
recordings each.
"""

import argparse
import csv
import pickle
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from write_card import write_card

from mecam.data.corruption import Corruption
from mecam.evaluation.detection import auroc
from mecam.features.audio.prosody import NAMES, LevelledProsody
from mecam.features.corruption import KINDS, CorruptedMedia
from mecam.features.media import Media
from mecam.prediction.heads import Head, row_cues
from mecam.pretrained.cards import FOLDER, Card, Measured

SOUND = [name for name, kind in KINDS.items() if kind.medium == "sound"]
OFTEN = ["burst", "babble", "packets", "mute"]
EXTENTS = (0.3, 0.4, 0.6, 1.0)
"""Parts of the time that are corrupted, of what is learned from."""
TESTS = (
    ("burst", 3),
    ("babble", 5),
    ("mute", 3),
    ("packets", 3),
    ("packets", 5),
    ("clipping", 4),
    ("white", 4),
    ("music", 5),
    ("babble", 3),
)
TEST_EXTENT, TEST_CLIPS = 0.4, 6
SEED, HIDDEN, STEPS, BATCH, RATE, DECAY = 7, 32, 1200, 512, 3e-3, 1.0
CLEAN = 2.0
"""What a row of a clean recording weighs."""
CORRUPTED = 0.1
"""Part of the rows that is taken to be corrupted in what people record; half is in what is learned from."""


@dataclass(frozen=True)
class Rows:
    """What one recording gave, clean or with one corruption.

    Attributes:
        speaker: who speaks.
        kind: of the corruption; empty for none.
        level: 1 to 5; 0 for none.
        cues: T × F, of the rows with sound.
        bad: T, whether the sound was touched.
    """

    speaker: str
    kind: str
    level: int
    cues: NDArray[np.float32]
    bad: NDArray[np.bool_]


def heard(path: Path, name: str, corruption: Corruption | None, others: Sequence[Path]) -> tuple[NDArray, NDArray]:
    """The rows of a recording, and which of them were touched."""
    media = Media(path) if corruption is None else CorruptedMedia(path, (corruption,), name=name, others=others)
    found = LevelledProsody()(media)
    bad = np.zeros(len(found.values), bool)
    if isinstance(media, CorruptedMedia):
        for times in media.spans("sound").values():
            bad |= ((found.intervals[:, :1] < times[:, 1]) & (found.intervals[:, 1:] > times[:, 0])).any(axis=1)
    return found.values, bad


def recordings(data: Path, name: str) -> list[tuple[str, str, Path]]:
    """Name, speaker and file of each."""
    with (data / name / "label.csv").open(encoding="utf-8") as file:
        return [
            (row["name"], row.get("speaker") or row["actor"], data / name / "flac" / Path(row["flac"]).name)
            for row in csv.DictReader(file)
        ]


def to_learn_from(data: Path) -> list[tuple]:
    made, known, rng = [], recordings(data, "emodb"), random.Random(SEED)
    for number, (name, speaker, path) in enumerate(known):
        other = [file for _, who, file in known if who != speaker]
        made.append((speaker, "", 0, *heard(path, name, None, ())))
        for draw in range(4):
            kind = SOUND[(number * 4 + draw) % len(SOUND)] if draw < 3 else rng.choice(OFTEN)
            level, extent = rng.choice([2, 3, 4, 5]), rng.choice(EXTENTS)
            corruption = Corruption(kind, KINDS[kind].levels[level - 1], extent, draw)
            made.append((speaker, kind, level, *heard(path, name, corruption, rng.sample(other, 5))))
    return made


def to_measure_on(data: Path) -> list[tuple]:
    made, known, rng = [], recordings(data, "ravdess"), random.Random(SEED)
    for actor in dict.fromkeys(speaker for _, speaker, _ in known):
        other = [file for _, who, file in known if who != actor]
        for name, _, path in rng.sample([one for one in known if one[1] == actor], TEST_CLIPS):
            made.append((actor, "", 0, *heard(path, name, None, ())))
            for kind, level in TESTS:
                corruption = Corruption(kind, KINDS[kind].levels[level - 1], TEST_EXTENT, 1)
                made.append((actor, kind, level, *heard(path, name, corruption, rng.sample(other, 5))))
    return made


def rows_of(made: Sequence[tuple]) -> list[Rows]:
    """With what the gate reads; rows without sound are read by nobody."""
    found = []
    for speaker, kind, level, values, bad in made:
        known = np.isfinite(values).any(axis=1)
        found.append(Rows(speaker, kind, level, row_cues(values)[known], bad[known]))
    return found


def train(rows: Sequence[Rows], decay: float = DECAY) -> Head:
    """Learn the gate; damaged and clean rows weigh alike."""
    torch.manual_seed(SEED)
    cues, bad = np.concatenate([one.cues for one in rows]), np.concatenate([one.bad for one in rows])
    weight = np.concatenate([np.full(len(one.bad), 1.0 if one.kind else CLEAN) for one in rows])
    weight[bad] *= weight[~bad].sum() / weight[bad].sum()
    mean, scale = np.nanmean(cues, axis=0), np.nanstd(cues, axis=0) + 1e-4
    given = torch.from_numpy(np.nan_to_num((cues - mean) / scale).clip(-5, 5).astype(np.float32))
    target = torch.from_numpy(bad.astype(np.float32))
    weights = torch.from_numpy((weight / weight.mean()).astype(np.float32))
    first, last = torch.nn.Linear(given.shape[1], HIDDEN), torch.nn.Linear(HIDDEN, 1)
    network = torch.nn.Sequential(torch.nn.Dropout(0.1), first, torch.nn.ReLU(), torch.nn.Dropout(0.3), last)
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    for _ in range(STEPS):
        optimiser.zero_grad()
        part = torch.randint(len(given), (BATCH,))
        found = network(given[part])[:, 0]
        torch.nn.functional.binary_cross_entropy_with_logits(found, target[part], weight=weights[part]).backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        last.bias += np.log(CORRUPTED / (1 - CORRUPTED))
    layers = tuple((x.weight.detach().numpy().T.copy(), x.bias.detach().numpy().copy()) for x in (first, last))
    about = {"inputs": list(NAMES), "outputs": ["corrupted"], "cues": "mecam.prediction.heads.row_cues"}
    return Head(mean.astype(np.float32), scale.astype(np.float32), layers, about)


def separation(head: Head, rows: Sequence[Rows], kind: str, level: int) -> tuple[float, float, float]:
    """AUROC of rows that a corruption touched against untouched ones, of clean recordings too; 95 % over speakers."""
    mine = [one for one in rows if (one.kind, one.level) in ((kind, level), ("", 0))]
    speakers = sorted({one.speaker for one in mine})
    by_speaker = []
    for who in speakers:
        own = [one for one in mine if one.speaker == who]
        found = np.concatenate([head(one.cues)[:, 0] for one in own])
        by_speaker.append((found, np.concatenate([one.bad for one in own])))

    def over(chosen: Sequence[int]) -> float:
        values, bad = (np.concatenate(part) for part in zip(*(by_speaker[i] for i in chosen), strict=True))
        return float(auroc(values, bad) or 0.0)

    rng = np.random.default_rng(SEED)
    drawn = [over(rng.integers(len(speakers), size=len(speakers))) for _ in range(500)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return over(range(len(speakers))), float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--choose", action="store_true", help="show speakers of EmoDB that are left out, and stop")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    made = {}
    for name, make in (("emodb", to_learn_from), ("ravdess", to_measure_on)):
        place = given.work / f"gate-{name}.pickle"  # our own file, written by the line below
        if not place.exists():
            place.write_bytes(pickle.dumps(make(given.data)))
        made[name] = rows_of(pickle.loads(place.read_bytes()))  # noqa: S301
    if given.choose:
        speakers = sorted({one.speaker for one in made["emodb"]})
        for decay in (0.1, 1.0):
            head = train([one for one in made["emodb"] if one.speaker in speakers[:5]], decay)
            left = [one for one in made["emodb"] if one.speaker in speakers[5:]]
            values = {f"{k} {n}": separation(head, left, k, n)[0] for k in OFTEN for n in (3, 5)}
            print(f"decay {decay:g}:", {name: round(value, 3) for name, value in values.items()})
        return
    head = train(made["emodb"])
    place = FOLDER / "voice" / "gate.safetensors"
    place.parent.mkdir(exist_ok=True)
    head.write(place)
    measured = []
    for kind, level in TESTS:
        value, low, high = (round(x, 3) for x in separation(head, made["ravdess"], kind, level))
        print(f"{kind}, level {level}: AUROC {value:.3f} [{low:.3f}, {high:.3f}]")
        severity = f"{KINDS[kind].levels[level - 1]:g} {KINDS[kind].unit}"
        data = f"RAVDESS, {TEST_CLIPS} recordings of each of 18 actors, {kind} in {TEST_EXTENT:.0%} of the time"
        measured.append(Measured(data, "AUROC of a row", value, low, high, severity))
    card = Card(
        name="voice-gate",
        reads="audio",
        says="how probably a half second of sound is corrupted; it then counts less",
        learned_from={"EmoDB, with corruptions made by mecam": "CC0-1.0"},
        tier="permissive",
        licence="Apache-2.0",
        measured=tuple(measured),
        limits="The corruptions are made, not recorded. Silence is not read: what is muted throughout is missing, "
        "and not corrupted. A voice that is unlike the rest of its recording, or a laugh, may count as corrupted.",
        not_for="Measuring how good a recording is for people.",
        seeds=(SEED,),
    )
    write_card(card, [place])


if __name__ == "__main__":
    main()
