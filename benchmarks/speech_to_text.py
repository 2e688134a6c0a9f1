"""Words and CPU time of speech to text on short clips, by how much padding follows the sound.

    python benchmarks/speech_to_text.py --data FOLDER [--model tiny.en] [--clips 200] [--seconds 30 10 5 3]

FOLDER holds `ravdess/` and `mosi/raw/`. Needs the extra `asr` and a fetched model.
"""

import argparse
import csv
import random
import re
import time
from pathlib import Path

from mecam.features.media import Media
from mecam.features.text import asr

MOSI = {
    "Oz06ZWiO20M_6.mp4": "and sucker punch is a failer but like a really ambitious weird the interesting idiosyncratic "
    "failure",
    "03bSnISJMiM_1.wav": "anyhow it was really good",
}


def clips(data: Path, count: int) -> list[tuple[Path, str]]:
    with (data / "ravdess" / "label.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    random.Random(0).shuffle(rows)
    ravdess = [(data / "ravdess" / "flac" / Path(row["flac"]).name, row["text"]) for row in rows[:count]]
    return ravdess + [(data / "mosi" / "raw" / name, text) for name, text in MOSI.items()]


def words(text: str) -> list[str]:
    return re.sub(r"[^a-z' ]", " ", text.lower()).split()


def edits(one: list[str], other: list[str]) -> int:
    row = list(range(len(other) + 1))
    for i, word in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, against in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != against))
    return row[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--seconds", type=float, nargs="+", default=[30, 10, 5, 3])
    given = parser.parse_args()
    sounds = [(Media(path), text) for path, text in clips(given.data, given.clips)]
    asr.engine(given.model)
    for seconds in given.seconds:
        asr.PADDING = round(seconds * 100)
        wrong, total, begin = 0, 0, time.process_time()
        for media, text in sounds:
            heard = asr.transcribe(media, model=given.model, language="en")
            wrong += edits(words(heard.text if heard else ""), words(text))
            total += len(words(text))
        cost = (time.process_time() - begin) / len(sounds)
        print(f"{seconds:4.0f} s of padding: {cost:.3f} CPU s a clip, {100 * wrong / total:.2f} % of words wrong")


if __name__ == "__main__":
    main()
