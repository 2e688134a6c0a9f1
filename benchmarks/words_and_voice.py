"""The words' score stays where only the voice changes: RAVDESS's two sentences, said with eight emotions.

    python benchmarks/words_and_voice.py --data FOLDER --output words_and_voice.json

FOLDER holds `ravdess/`. Needs the extra `asr` and its model (`mecam assets fetch asr`): the words are written down by
mecam, as for any clip without a transcript. Clips are drawn evenly over emotions (seed 0).
"""

import argparse
import csv
import json
import random
from collections import defaultdict
from pathlib import Path

import numpy as np

from mecam.prediction.built_in import BuiltIn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=96)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    folder = options.data / "ravdess"
    with (folder / "label.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    random.Random(0).shuffle(rows)
    by_emotion = defaultdict(list)
    for row in rows:
        by_emotion[row["emotion"]].append(row)
    each = options.clips // len(by_emotion)
    model = BuiltIn()
    scores, heard = defaultdict(list), defaultdict(int)
    activation = defaultdict(list)
    for emotion, some in sorted(by_emotion.items()):
        for row in some[:each]:
            clip = model.predict_file(folder / "flac" / Path(row["flac"]).name, language="en")
            voice = clip.overall.voice
            if voice is not None and voice.activation is not None:
                activation[emotion].append(voice.activation)
            if clip.overall.score is not None:
                scores[row["text"]].append(clip.overall.score)
                heard[(clip.overall.text or "").strip(" .!?")] += 1
    result = {
        "clips": each * len(by_emotion),
        "scores": {
            text: {"n": len(s), "mean": float(np.mean(s)), "largest change": float(np.abs(s - np.median(s)).max())}
            | {"within 0.1 of the median": float((np.abs(s - np.median(s)) < 0.1).mean())}
            for text, s in ((text, np.array(s)) for text, s in scores.items())
        },
        "heard": dict(heard),
        "activation": {emotion: float(np.mean(values)) for emotion, values in activation.items()},
    }
    text = json.dumps(result, indent=1)
    print(text)
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
