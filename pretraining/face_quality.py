"""The cards of what is read of faces: movements, expressions, and who is who; measured where it can be measured here.

    python pretraining/face_quality.py --data FOLDER --work FOLDER --people people.json

FOLDER holds `video/`: clips of the GRID corpus (*.mpg). Movements are compared with those of a rendered portrait, which
are known. Of expressions there is no labelled picture here: it is told what share of the rows of people who read a
plain sentence is called neutral, and how a rendered smile is called. The file of `--people` is what
`benchmarks/people.py` wrote.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage.data import astronaut
from write_card import NOT_FOR, write_card

from mecam.features.media import Media
from mecam.features.vision.appearance import MEAN_FACE
from mecam.features.vision.expression_network import EXPRESSIONS
from mecam.features.vision.face_extractors import CUES, FaceCues
from mecam.prediction.face_reading import MOVEMENTS
from mecam.pretrained.cards import Card, Measured
from mecam.synthetic.clips.render import ASTRONAUT, render, write_clip

RATE, SECONDS = 12.5, 12.0
Curve = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def wave(size: float, hertz: float, phase: float) -> Curve:
    """A movement to and fro."""
    return lambda times: size * np.sin(2 * np.pi * (hertz * times + phase))


MOVES: Mapping[str, Curve] = {
    "mouth_open": lambda times: 0.5 + wave(0.5, 1.7, 0.1)(times),
    "corner_left": wave(0.8, 0.53, 0.3),
    "corner_right": wave(0.8, 0.53, 0.3),
    "brow_inner": wave(0.9, 0.67, 0.8),
    "brow_outer": wave(0.9, 0.67, 0.8),
    "blink": lambda times: np.clip(wave(2.0, 0.41, 0.5)(times) - 1, 0, 1),
}
"""Each with its own rhythm."""
COMPARED = {
    "smile": "corner_left",
    "brows_raised": "brow_inner",
    "eyes_closed": "blink",
    "mouth_open": "mouth_open",
}
"""Movement that is read → the one that was made."""


def rendered(place: Path) -> Path:
    """A clip of the portrait with known movements."""
    times, image = np.arange(0, SECONDS, 1 / RATE), np.asarray(astronaut())
    curves = {name: curve(times) for name, curve in MOVES.items()}
    pictures = (
        render(image, ASTRONAUT, {name: float(curve[k]) for name, curve in curves.items()}) for k in range(len(times))
    )
    return write_clip(place, pictures, rate=RATE)


def movements_of(values: NDArray[np.float32], times: NDArray[np.float64]) -> list[Measured]:
    """How what is read follows what was made."""
    found = []
    for name, made in COMPARED.items():
        read = values[:, [CUES.names.index(one) for one in MOVEMENTS[name]]].mean(axis=1)
        follows = float(np.corrcoef(read, MOVES[made](times))[0, 1])
        data = f"a rendered portrait of known movement, {len(times)} rows"
        found.append(Measured(data, f"correlation of {name} with the movement that was made", follows))
    return found


def expressions_of(values: NDArray[np.float32], times: NDArray[np.float64], clips: list[Path]) -> list[Measured]:
    """What plain speech and a rendered smile are called."""
    columns = [CUES.names.index(f"expression_{name}") for name in EXPRESSIONS]
    spoken = [FaceCues()(Media(clip)).values[:, columns] for clip in clips]
    neutral = np.array([float((rows.argmax(axis=1) == EXPRESSIONS.index("neutral")).mean()) for rows in spoken])
    corners = MOVES["corner_left"](times)
    happy = values[:, columns].argmax(axis=1) == EXPRESSIONS.index("happy")
    raised, lowered = corners > 0.4, corners < -0.4
    portrait_data = "a rendered portrait that smiles, with the corners of its mouth"
    return [
        Measured(
            f"{len(clips)} people who read a plain sentence (GRID), {sum(map(len, spoken))} rows",
            "share of rows called neutral",
            float(neutral.mean()),
            note=f"by person from {neutral.min():.0%} to {neutral.max():.0%}",
        ),
        Measured(
            f"{portrait_data} raised, {int(raised.sum())} rows", "share called happy", float(happy[raised].mean())
        ),
        Measured(
            f"{portrait_data} drawn down, {int(lowered.sum())} rows", "share called happy", float(happy[lowered].mean())
        ),
    ]


def people_of(path: Path) -> list[Measured]:
    """What the benchmark found."""
    found = []
    for kind, row in json.loads(path.read_text(encoding="utf-8"))["summary"].items():
        if kind == "all":  # which depends on how many scenes there are of each kind
            continue
        data = f"{kind}: {row['scenes']:.0f} scenes of clips side by side, {row['seconds']:.0f} s"
        found.append(Measured(data, "seconds in which everybody visible has the right number", row["numbers"]))
        found.append(Measured(data, "seconds in which the speaker is right", row["speaker"]))
    return found


def main() -> None:
    """Measure, write the cards."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with video/")
    parser.add_argument("--work", type=Path, required=True, help="folder for a rendered clip")
    parser.add_argument("--people", type=Path, required=True, help="what benchmarks/people.py wrote")
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    features = FaceCues()(Media(rendered(asked.work / "movements.mp4")))
    times = features.intervals[:, 0]
    clips = sorted((asked.data / "video").glob("*.mpg"))
    movements = Card(
        name="face-movements",
        reads="vision",
        says="How far a face smiles, frowns, raises or lowers its brows, shuts its eyes, opens its mouth: 0 to 1, from "
        "the 52 blendshapes of MediaPipe's Face Landmarker.",
        learned_from={"Google's own data for MediaPipe's Face Landmarker, which it does not publish": "Apache-2.0"},
        tier="permissive",
        licence="Apache-2.0 (MediaPipe)",
        measured=tuple(movements_of(features.values, times)),
        limits="Measured here on one rendered portrait only. Where a face moves from depends on the person: a resting "
        "mouth may count as a smile or a frown, so compare a person with their own baseline.",
        not_for=NOT_FOR,
        made_by="python pretraining/face_quality.py",
    )
    expressions = Card(
        name="face-expressions",
        reads="vision",
        says="How a photograph of the face would be labelled: neutral, happy, sad, angry, fearful, disgusted or "
        "surprised, with probabilities. It is what the face shows, not what anybody feels.",
        learned_from={"public data sets and pictures from the web, which face-api.js does not name": "MIT"},
        tier="permissive",
        licence="MIT (face-api.js, Vincent Mühler)",
        measured=tuple(expressions_of(features.values, times, clips)),
        limits="Not measured here on labelled pictures: neither FER2013 nor CK+ can be had here, and whether the "
        "network saw them is unknown. Speech moves the mouth, so that speaking faces are often called surprised. "
        "Of sad, angry, fearful and disgusted nothing was measured.",
        not_for=NOT_FOR,
        made_by="python pretraining/face_quality.py",
    )
    people = Card(
        name="face-people",
        reads="vision",
        says="Which faces of one recording are the same person, and who of them speaks.",
        learned_from={f"{len(clips)} faces of the GRID corpus, for the mean face": "CC BY 4.0"},
        tier="permissive",
        licence="Apache-2.0",
        measured=tuple(people_of(asked.people)),
        limits="The people of the scenes are those of the mean face, one clip each, and the limits and costs were "
        "chosen on the same scenes. Not for another recording: light and clothes count. It takes a person who changes "
        "clothes or hair for another one. When several people talk at once, the speaker is often wrong.",
        not_for="Recognising anybody: it compares faces within one recording, and keeps nothing of them.",
        made_by="python pretraining/face_quality.py",
    )
    for card, files in ((movements, []), (expressions, []), (people, [MEAN_FACE])):
        write_card(card, files)
        for one in card.measured:
            print(f"{card.name}: {one.data}: {one.metric} {one.value:.3f} {one.note}")


if __name__ == "__main__":
    main()
