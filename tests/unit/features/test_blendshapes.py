"""MediaPipe's blendshapes: what is read, in which scale and order, for which rows; and what the real networks say.

Most of it runs with made-up networks behind LiteRT's interface; the real ones look at a rendered face.
"""

import zipfile
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import ClassVar

import ai_edge_litert.interpreter
import numpy as np
import pytest
from numpy.typing import NDArray

from clips import clip, moving_face
from mecam.errors import ConfigError, DataError
from mecam.features import extractor as registry
from mecam.features.extractor import Features
from mecam.features.media import Frame, Media
from mecam.features.picture import Image
from mecam.features.vision import blendshapes, face_models, tracking
from mecam.features.vision import model_files as assets
from mecam.features.vision.expression import NAMES as MEASURES
from mecam.features.vision.expression_network import EXPRESSIONS
from mecam.features.vision.face_extractors import Blendshapes, Expressions, FaceCues
from mecam.features.vision.face_models import Box
from mecam.features.vision.tracking import Tracker

MESH, SHAPES = "face_landmarks_detector.tflite", "face_blendshapes.tflite"
COUNT = 52
POINTS = np.stack([np.arange(478) / 2, 256 - np.arange(478) / 4, np.full(478, -7.0)], axis=1)
"""What the made-up mesh always says: pixels of its crop of 256 × 256."""


class MadeUp:
    """A network behind LiteRT's interface; its bytes are its name. Blendshape k is x plus 1000 y of its k-th point."""

    given: ClassVar[dict[str, NDArray[np.float32]]] = {}

    def __init__(self, model_content: bytes, num_threads: int) -> None:
        self.name = model_content.decode()
        assert num_threads == 1

    def allocate_tensors(self) -> None:
        """Nothing to be done."""

    def get_input_details(self) -> list[dict[str, object]]:
        return [{"index": 9}]

    def get_output_details(self) -> list[dict[str, object]]:
        shapes: list[tuple[int, ...]] = [(1, 1), (1, 1, 1, 1434), (1, 1, 1, 1)] if self.name == MESH else [(COUNT,)]
        return [{"index": number, "shape": np.array(shape)} for number, shape in enumerate(shapes)]

    def set_tensor(self, index: int, value: NDArray[np.float32]) -> None:
        assert index == 9
        assert value.dtype == np.float32
        assert value.shape == ((1, 256, 256, 3) if self.name == MESH else (1, 146, 2))
        MadeUp.given[self.name] = value[0].copy()

    def invoke(self) -> None:
        """Nothing to be done."""

    def get_tensor(self, index: int) -> NDArray[np.float32]:
        if self.name == MESH and index == 1:
            return POINTS.reshape(1, 1, 1, 1434).astype(np.float32)
        if self.name == MESH:
            return np.full((1, 1), 5.0, np.float32)
        return MadeUp.given[SHAPES][:COUNT] @ np.array([1, 1000], np.float32)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder in the place of the package's models."""
    place = tmp_path / "models"
    place.mkdir()
    monkeypatch.setattr(assets, "MODELS", place)
    assets.ensure.cache_clear()
    face_models._idle.clear()
    yield place
    assets.ensure.cache_clear()
    face_models._idle.clear()


def bring(
    folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None = None, parts: tuple[str, ...] = ()
) -> None:
    """Lay a file into the folder and call it the expected one."""
    path = folder / assets.LANDMARKER.name
    if content is None:
        with zipfile.ZipFile(path, "w") as bundle:
            for part in parts:
                bundle.writestr(part, part)
    else:
        path.write_bytes(content)
    right = replace(assets.LANDMARKER, sha256=sha256(path.read_bytes()).hexdigest(), size=path.stat().st_size)
    monkeypatch.setattr(face_models, "LANDMARKER", right)


@pytest.fixture
def made_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`face_landmarker.task` with made-up networks."""
    bring(folder, monkeypatch, parts=(MESH, SHAPES))
    monkeypatch.setattr(ai_edge_litert.interpreter, "Interpreter", MadeUp)
    MadeUp.given = {}


@pytest.fixture
def bright_is_a_face(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without networks: one face in a picture brighter than 70, a larger one beside it in a wide picture.

    How large they are depends on how bright it is.
    """
    shape = np.random.default_rng(0).uniform(-0.5, 0.5, (468, 3))
    shape[[33, 263], :2] = (-0.2, 0), (0.2, 0)  # its eyes are level

    def mesh(image: Image, box: Box) -> tuple[NDArray[np.float32], float]:
        bright = float(np.asarray(image).mean())
        side = 20 + bright % 10 + (10 if box.x > 64 else 0)
        points = side * shape + [96 if box.x > 64 else 32, 24, 0]
        return points.astype(np.float32), float(bright > 70)

    def detect(image: Image, *, closer: bool) -> list[Box]:
        there = [Box(32.0, 24.0, 24.0), Box(96.0, 24.0, 34.0)][: image.shape[1] // 64]
        return there if np.asarray(image).mean() > 70 else []

    monkeypatch.setattr(tracking, "detect", detect)
    monkeypatch.setattr(tracking, "mesh", mesh)


def test_there_are_52_named_columns_out_of_146_points() -> None:
    spec = registry.extractor("mecam-blendshapes").spec
    assert (spec.width, spec.extractor, spec.aligned) == (COUNT, "mecam-blendshapes", False)
    assert spec.names == blendshapes.NAMES
    assert len(set(spec.names)) == COUNT
    assert {name.replace("Left", "Right") for name in spec.names} <= set(spec.names)
    # As MediaPipe numbers them.
    assert [spec.names.index(name) for name in ("_neutral", "browInnerUp", "jawOpen", "mouthSmileLeft")] == [
        0,
        3,
        25,
        44,
    ]
    assert spec.names[-1] == "noseSneerRight"
    assert len(blendshapes.POINTS) == 146
    assert list(blendshapes.POINTS) == sorted(set(blendshapes.POINTS))
    assert blendshapes.POINTS[-10:] == tuple(range(468, 478))


def test_one_vision_extractor_at_a_time() -> None:
    with pytest.raises(ConfigError, match="mecam-vision and mecam-blendshapes both make vision"):
        registry.chosen(["mecam-vision", "mecam-blendshapes"])


@pytest.mark.usefixtures("made_up")
@pytest.mark.parametrize("angle", [0.0, 0.5, np.pi / 2])
def test_the_points_are_read_in_pixels_of_the_picture(angle: float) -> None:
    picture = np.full((240, 320, 3), 51, np.uint8)
    box = Box(150.0, 110.0, 80.0, angle)
    row = blendshapes.look(picture, box)
    # The crop is one and a half times as wide as the face, and turned with it.
    across = (POINTS[list(blendshapes.POINTS), :2] / 256 - 0.5) * 120
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    expected = across @ turn.T + [150, 110]
    np.testing.assert_allclose(MadeUp.given[SHAPES], expected, atol=1e-3)
    np.testing.assert_allclose(row, expected[:COUNT] @ [1, 1000], rtol=1e-5)
    np.testing.assert_allclose(MadeUp.given[MESH], 0.2, atol=1e-5)  # grey 51 of 255: the network takes 0 to 1


@pytest.mark.usefixtures("made_up", "bright_is_a_face")
def test_rows_times_and_missing_ones_are_those_of_mecam_vision(tmp_path: Path) -> None:
    media = Media(clip(tmp_path / "a.mp4", 40))  # grey grows from 20
    features, others = Blendshapes()(media), Expressions(gaze_hz=0.0)(media)
    assert features.values.shape == (len(others.values), COUNT)
    assert features.values.dtype == np.float32
    missing = np.isnan(features.values)
    assert (missing.all(axis=1) == missing.any(axis=1)).all()
    assert 0.1 < missing.all(axis=1).mean() < 0.9
    np.testing.assert_array_equal(missing.all(axis=1), np.isnan(others.values).all(axis=1))
    np.testing.assert_array_equal(features.intervals, others.intervals)
    assert features.details == others.details
    seen = features.values[~missing.all(axis=1)]
    assert np.ptp(seen, axis=1).min() > 1  # not the same number in every column


@pytest.mark.usefixtures("made_up", "bright_is_a_face")
def test_of_two_faces_the_rows_are_those_of_the_chosen_one(tmp_path: Path) -> None:
    media = Media(clip(tmp_path / "a.mp4", 60, width=128))
    features = Blendshapes()(media)
    faces = features.details["faces"]
    assert [face["chosen"] > 0 for face in faces] == [face["side"] > 30 for face in faces]
    assert len(faces) == 2
    between = features.values[:, 0] - features.values[:, 1]  # two points: how far apart tells the size of the face
    side = between / ((POINTS[0] - POINTS[1])[:2] @ [1, 1000]) * 256 / 1.5
    seen = side[np.isfinite(side)]
    assert len(seen) > 10
    assert np.median(seen) == pytest.approx(max(face["side"] for face in faces), abs=0.2)
    assert seen.min() > 1.2 * min(face["side"] for face in faces)
    np.testing.assert_array_equal(features.intervals, Expressions(gaze_hz=0.0)(media).intervals)


@pytest.mark.usefixtures("bright_is_a_face")
def test_a_look_stays_with_its_face_and_frame() -> None:
    """Over more frames than are held at once, across a gap in which the face is away."""
    tracker = Tracker(gaze_s=np.inf, look=lambda image, _, box: np.array([image[0, 0, 0], box.side], np.float32))
    for number in range(400):
        grey = 30 if 300 <= number < 310 else 80 + number % 150
        tracker.see(Frame(number / 25, np.full((48, 64, 3), grey, np.uint8)))
    (face,) = tracker.faces()
    assert {299, 315} <= set(face.frames)
    assert not set(range(300, 310)) & set(face.frames)
    assert np.ptp(face.side) > 5
    np.testing.assert_array_equal(face.looks[:, 0], 80 + face.frames % 150)
    np.testing.assert_array_equal(face.looks[:, 1], face.side)
    assert face.values.shape == (len(face.frames), len(MEASURES))


@pytest.mark.usefixtures("folder")
def test_without_the_file_it_is_said_what_to_do() -> None:
    with pytest.raises(DataError, match=r"face_landmarker\.task is missing[\s\S]*install mecam again"):
        blendshapes.look(np.zeros((48, 64, 3), np.uint8), Box(32.0, 24.0, 20.0))


@pytest.mark.parametrize(
    ("content", "parts", "why"),
    [
        (b"no zip", (), "not a readable zip"),
        (None, (SHAPES,), f"no {MESH} in it"),
        (None, (MESH,), f"no {SHAPES} in it"),
    ],
)
def test_a_file_that_lacks_a_network_is_one_clear_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, parts: tuple[str, ...], why: str
) -> None:
    bring(folder, monkeypatch, content, parts)
    monkeypatch.setattr(ai_edge_litert.interpreter, "Interpreter", MadeUp)
    with pytest.raises(DataError, match=why) as caught:
        blendshapes.look(np.zeros((48, 64, 3), np.uint8), Box(32.0, 24.0, 20.0))
    assert str(folder / assets.LANDMARKER.name) in str(caught.value)


RATE = 12.5
MOVES = {
    "mouth_open": lambda t: 0.5 + 0.5 * np.sin(2 * np.pi * (1.7 * t + 0.1)),
    "corner_left": lambda t: 0.8 * np.sin(2 * np.pi * (0.53 * t + 0.3)),
    "corner_right": lambda t: 0.8 * np.sin(2 * np.pi * (0.53 * t + 0.3)),
    "brow_inner": lambda t: 0.9 * np.sin(2 * np.pi * (0.67 * t + 0.8)),
    "brow_outer": lambda t: 0.9 * np.sin(2 * np.pi * (0.67 * t + 0.8)),
}


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Features:
    """The real networks on a rendered face: mouth, its corners and brows move, each with its own rhythm."""
    path = moving_face(tmp_path_factory.mktemp("clips") / "moved.mp4", MOVES, seconds=6.0, rate=RATE)
    return Blendshapes()(Media(path))


@pytest.mark.parametrize(
    ("name", "move"),
    [
        ("jawOpen", "mouth_open"),
        ("mouthSmileLeft", "corner_left"),
        ("mouthSmileRight", "corner_right"),
        ("browInnerUp", "brow_inner"),
    ],
)
def test_a_real_blendshape_follows_its_movement(moved: Features, name: str, move: str) -> None:
    done = MOVES[move](moved.intervals[:, 0])
    if move.startswith("brow"):
        done = np.maximum(done, 0)  # what goes the other way has a blendshape of its own; the portrait smiles already
    measured = moved.values[:, blendshapes.NAMES.index(name)]
    assert np.corrcoef(measured, done)[0, 1] >= 0.6


def test_real_blendshapes_are_shares(moved: Features) -> None:
    assert np.isfinite(moved.values).all()
    assert ((moved.values >= 0) & (moved.values <= 1)).all()


@pytest.fixture(scope="module")
def cued(tmp_path_factory: pytest.TempPathFactory) -> Features:
    """The same movements, as `mecam-face` sees them."""
    path = moving_face(tmp_path_factory.mktemp("clips") / "moved.mp4", MOVES, seconds=6.0, rate=RATE)
    return FaceCues()(Media(path))


def test_face_cues_are_the_blendshapes_and_what_the_face_shows(moved: Features, cued: Features) -> None:
    spec = registry.extractor("mecam-face").spec
    assert spec.names == (*blendshapes.NAMES, *(f"expression_{name}" for name in EXPRESSIONS))
    assert cued.values.shape == (len(moved.values), COUNT + 7)
    np.testing.assert_array_equal(cued.intervals, moved.intervals)
    assert np.abs(cued.values[:, :COUNT] - moved.values).mean() < 0.02
    np.testing.assert_allclose(cued.values[:, COUNT:].sum(axis=1), 1, atol=1e-5)
    happy = cued.values[:, spec.names.index("expression_happy")]
    corners = MOVES["corner_left"](cued.intervals[:, 0])
    assert happy[corners > 0.4].mean() > 0.8
    assert happy[corners < -0.4].mean() < happy[corners > 0.4].mean()
