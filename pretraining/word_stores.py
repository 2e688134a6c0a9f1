"""Stores that the text heads learn from: GoEmotions and CMU-MOSEI, each with a held-out part of its training data.

What is chosen (epochs, thresholds, temperatures, the width of intervals) is chosen on the held-out part; the published
dev and valid splits are only measured on. Their splits are called `test` here.
"""

import csv
import hashlib
from collections.abc import Iterator
from pathlib import Path

from mecam.data.store import StoreWriter
from mecam.task.kinds import Labels, Regression
from mecam.types import Utterance

HELD_OUT = 0.1
"""Of the training utterances (GoEmotions) or videos (MOSEI)."""


def held_out(name: str) -> bool:
    """Whether a training utterance, or a video with all of its own, is held out: the same everywhere and always."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 16**8 < HELD_OUT


def goemotions(folder: Path, place: Path) -> None:
    """Write the store of GoEmotions: 28 labels, of which a comment may have several."""
    names = tuple((folder / "labels.txt").read_text().split())
    with StoreWriter(place, name="goemotions", task=Labels(names), specs={}) as writer:
        for file, split in (("train.tsv", ""), ("dev.tsv", "test")):
            for text, labels, comment in rows_of(folder / file):
                label = dict.fromkeys((names[int(number)] for number in labels.split(",")), 1.0)
                where = split or ("valid" if held_out(comment) else "train")
                writer.add(Utterance(id=comment, split=where, text=text, label=label))


def rows_of(path: Path) -> Iterator[list[str]]:
    """The rows of a table of GoEmotions, each comment once."""
    seen = set()
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            if row[2] not in seen and row[0].strip():
                seen.add(row[2])
                yield row


def mosei(folder: Path, place: Path) -> None:
    """Write the store of MOSEI: sentiment from -3 to 3."""
    with (
        (folder / "label.csv").open(encoding="utf-8", newline="") as file,
        StoreWriter(place, name="mosei", task=Regression(-3.0, 3.0), specs={}) as writer,
    ):
        for row in csv.DictReader(file):
            if not row["text"].strip():
                continue
            video = row["video_id"]
            held = "valid" if held_out(video) else "train"
            split = held if row["mode"] == "train" else "test"
            name = f"{video}_{row['clip_id']}"
            writer.add(Utterance(id=name, split=split, video=video, text=row["text"], label=float(row["label"])))
