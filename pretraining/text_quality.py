"""How good the two text models are on data that they never saw; writes their cards.

    python pretraining/text_quality.py --data data

Sentiment: MOSEI's published valid split (of its videos nothing was learned or chosen), MOSI's test split and MELD's dev
split, of which nothing was learned either. Emotions: GoEmotions' published dev split. Intervals are over videos,
dialogues or comments (bootstrap, 2000 draws, seed 0).
"""

import argparse
import csv
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import word_stores
from numpy.typing import NDArray
from write_card import NOT_FOR, write_card

from mecam.evaluation.metrics import score
from mecam.prediction.built_in import SCALE, BuiltIn
from mecam.prediction.emotions import GROUPS
from mecam.prediction.result import Prediction
from mecam.pretrained.cards import FOLDER, Card, Measured

Array = NDArray[Any]
DRAWS = 2000


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def ask(model: BuiltIn, texts: Sequence[str]) -> list[Prediction]:
    """Predict sentences; says how long one takes."""
    start = time.perf_counter()
    answers = model.predict_text(list(texts))
    print(f"{len(texts)} sentences, {1e3 * (time.perf_counter() - start) / len(texts):.1f} ms each", flush=True)
    return answers


def resampled(groups: Sequence[str], metric: Callable[[Array], float]) -> tuple[float, float, float]:
    """A metric of some rows: of all, and the ends of its 95 % interval over groups of rows."""
    names, which = np.unique(np.array(groups), return_inverse=True)
    rows = [np.flatnonzero(which == number) for number in range(len(names))]
    draw = np.random.default_rng(0)
    values = [metric(np.concatenate([rows[i] for i in draw.integers(len(rows), size=len(rows))])) for _ in range(DRAWS)]
    low, high = np.nanquantile(values, [0.025, 0.975])
    return metric(np.arange(len(groups))), float(low), float(high)


def sentiment(model: BuiltIn, rows: Sequence[dict[str, str]], data: str) -> list[Measured]:
    """MAE, correlation, accuracy of the sign, and how often the interval holds the label."""
    answers = ask(model, [row["text"] for row in rows])
    truth = np.array([float(row["label"]) for row in rows])
    given = np.array([one.score for one in answers], np.float64)
    inside = np.array([one.low <= label <= one.high for one, label in zip(answers, truth, strict=True)], np.float64)
    videos = [row["video_id"] for row in rows]
    found = []
    for name, title in (("mae", "MAE"), ("corr", "correlation"), ("acc2_nonzero", "accuracy of the sign, without 0")):
        value, low, high = resampled(videos, lambda some, name=name: score(SCALE, given[some], truth[some])[name])
        found.append(Measured(data, title, value, low, high))
    value, low, high = resampled(videos, lambda some: float(inside[some].mean()))
    return [*found, Measured(data, "labels inside the 90 % interval", value, low, high)]


def meld(model: BuiltIn, rows: Sequence[dict[str, str]], data: str) -> list[Measured]:
    """Accuracy of the sign on what is not neutral, and the mean recall of three classes."""
    rows = [row for row in rows if row["Utterance"].strip()]
    answers = ask(model, [row["Utterance"] for row in rows])
    truth, given = np.array([row["Sentiment"] for row in rows]), np.array([one.score for one in answers], np.float64)
    said = np.array([one.label for one in answers])
    groups = [row["Dialogue_ID"] for row in rows]

    def sign(some: Array) -> float:
        felt = some[truth[some] != "neutral"]
        return float(((given[felt] > 0) == (truth[felt] == "positive")).mean())

    def recall(some: Array) -> float:
        return float(np.mean([(said[some][truth[some] == name] == name).mean() for name in np.unique(truth)]))

    return [
        Measured(data, "accuracy of the sign, without neutral", *resampled(groups, sign)),
        Measured(data, "mean recall of positive, neutral, negative", *resampled(groups, recall)),
    ]


def macro_f1(given: Array, truth: Array) -> float:
    """The mean over columns of F1."""
    both = (given & truth).sum(axis=0)
    return float(np.mean(2 * both / np.maximum(given.sum(axis=0) + truth.sum(axis=0), 1)))


def emotions(model: BuiltIn, folder: Path, data: str) -> list[Measured]:
    """Macro-F1 of the seven groups at their thresholds, and of the 28 labels at theirs."""
    names = (folder / "labels.txt").read_text().split()
    rows = list(word_stores.rows_of(folder / "dev.tsv"))
    labels = np.array([[str(i) in row[1].split(",") for i in range(len(names))] for row in rows])
    ids, texts = [row[2] for row in rows], [row[0] for row in rows]
    groups = np.stack([labels[:, [names.index(n) for n in GROUPS[g]]].any(axis=1) for g in GROUPS], axis=1)
    found = []
    for kind, asked, truth in (("7 groups", False, groups), ("28 emotions", True, labels)):
        model.all_emotions = asked
        odds = np.array([list(one.emotions.values()) for one in ask(model, texts)])
        given = odds >= np.array(list(model.thresholds.values()))
        found.append(
            Measured(
                data, f"macro-F1 of {kind}", *resampled(ids, lambda some, g=given, t=truth: macro_f1(g[some], t[some]))
            )
        )
    model.all_emotions = False
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with mosei/, mosi/, meld/, goemotions/")
    data = parser.parse_args().data
    model = BuiltIn()
    mosei = [row for row in read_csv(data / "mosei" / "label.csv") if row["mode"] == "valid" and row["text"].strip()]
    mosi = [row for row in read_csv(data / "mosi" / "label.csv") if row["mode"] == "test"]
    measured = [
        *sentiment(model, mosei, f"MOSEI valid, {len(mosei)} utterances"),
        *sentiment(model, mosi, f"MOSI test, {len(mosi)} utterances, never learned from"),
        *meld(model, read_csv(data / "meld" / "dev_sent_emo.csv"), "MELD dev, 1109 utterances, never learned from"),
    ]
    text = FOLDER / "text"
    write_card(
        Card(
            name="words-sentiment",
            reads="text",
            says="Sentiment of the words from -3 (very negative) to 3 (very positive), with a 90 % interval, and which "
            "words the filter left out.",
            learned_from={"CMU-MOSEI, transcripts": "research (none stated)", "GoEmotions": "CC BY 4.0"},
            tier="research",
            licence="research use",
            measured=tuple(measured),
            limits="English. Learned from YouTube monologues, mostly reviews; short replies of a dialogue are harder. "
            "Irony is not recognised. Of one text, 256 sub-words are read.",
            not_for=NOT_FOR,
            seeds=(1111,),
        ),
        [text / name for name in ("sentiment.onnx", "sentiment.json", "encoder.data", "tokenizer.json")],
    )
    felt = emotions(model, data / "goemotions", "GoEmotions dev, 5426 comments")
    write_card(
        Card(
            name="words-emotions",
            reads="text",
            says="The probability that the words express each of 7 groups of emotions, or each of 28 emotions.",
            learned_from={"GoEmotions": "CC BY 4.0", "all-MiniLM-L6-v2 (encoder)": "Apache-2.0"},
            tier="permissive",
            licence="Apache-2.0, with the attribution that CC BY 4.0 asks for (see NOTICE)",
            measured=tuple(felt),
            limits="English. Learned from comments on Reddit, labelled by readers: what the words express, not what "
            "the writer felt.",
            not_for=NOT_FOR,
            seeds=(1111,),
        ),
        [
            text / name
            for name in ("emotions.onnx", "emotions.json", "groups.safetensors", "encoder.data", "tokenizer.json")
        ],
    )
    for one in [*measured, *felt]:
        print(f"{one.data}: {one.metric} {one.value:.4f} ({one.low:.4f} to {one.high:.4f})")


if __name__ == "__main__":
    main()
