"""Make the mean face that people are told apart by: the edges of the speakers of GRID (CC BY 4.0), each weighing alike.

    python pretraining/mean_face.py --data FOLDER

FOLDER holds `video/*.mpg`: clips of the GRID corpus, one per speaker.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from mecam.features.media import Media
from mecam.features.vision.appearance import EDGES, MEAN_FACE, describe
from mecam.features.vision.face_models import Box, detect, mesh


def edges_of(path: Path) -> NDArray[np.float32]:
    """The mean description of the face of a clip, six pictures a second."""
    rows = []
    for frame in Media(path).frames(rate=6, max_side=640):
        for found in detect(frame.image)[:1]:
            points, presence = mesh(frame.image, found)
            rows.append(describe(frame.image, points, Box.around(points, presence))[:EDGES])
    return np.asarray(np.mean(rows, axis=0), np.float32)


def main() -> None:
    """Write the mean face into the package."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with video/*.mpg")
    clips = sorted((parser.parse_args().data / "video").glob("*.mpg"))
    MEAN_FACE.parent.mkdir(parents=True, exist_ok=True)
    save_file({"edges": np.asarray(np.mean([edges_of(clip) for clip in clips], axis=0), np.float32)}, MEAN_FACE)
    print(f"{MEAN_FACE}: the mean of {len(clips)} faces")


if __name__ == "__main__":
    main()
