"""The face path: what is measured follows what was done, on rendered faces; real faces are found and followed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from clips import clip, moving_face, need_data, portrait, talking
from mecam.errors import ConfigError, DataError, MediaError
from mecam.features.extractor import Features
from mecam.features.media import Media
from mecam.features.picture import packed
from mecam.features.vision.expression import NAMES
from mecam.features.vision.face_extractors import Expressions
from mecam.features.vision.face_models import detect, mesh
from mecam.features.vision.sampling import sampled
from mecam.synthetic.clips.render import ASTRONAUT, render, write_clip

RATE = 12.5
SECONDS = 6.0
MOVES = {
    "mouth_open": lambda t: 0.5 + 0.5 * np.sin(2 * np.pi * (1.7 * t + 0.1)),
    "corner_left": lambda t: 0.8 * np.sin(2 * np.pi * (0.53 * t + 0.3)),
    "corner_right": lambda t: 0.8 * np.sin(2 * np.pi * (0.53 * t + 0.3)),
    "brow_inner": lambda t: 0.9 * np.sin(2 * np.pi * (0.67 * t + 0.8)),
    "brow_outer": lambda t: 0.9 * np.sin(2 * np.pi * (0.67 * t + 0.8)),
    "blink": lambda t: np.where(np.sin(2 * np.pi * (0.4 * t + 0.5)) > 0.93, 1.0, 0.0),
    "yaw": lambda t: 12 * np.sin(2 * np.pi * (0.23 * t + 0.4)),
    "pitch": lambda t: 9 * np.sin(2 * np.pi * (0.37 * t + 0.7)),
    "roll": lambda t: 8 * np.sin(2 * np.pi * (0.29 * t + 0.1)),
}


def column(features: Features, name: str) -> NDArray[np.float32]:
    return features.values[:, NAMES.index(name)]


def without_face(features: Features) -> NDArray[np.bool_]:
    return np.isnan(features.values).all(axis=1)


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Features:
    """Everything moves at once, each movement with its own rhythm."""
    path = moving_face(tmp_path_factory.mktemp("clips") / "moved.mp4", MOVES, seconds=SECONDS, rate=RATE)
    return Expressions()(Media(path))


@pytest.mark.parametrize(
    ("name", "move"),
    [
        ("mouth_open", "mouth_open"),
        ("mouth_corners", "corner_left"),
        ("mouth_corner_left", "corner_left"),
        ("mouth_corner_right", "corner_right"),
        ("brow_raise", "brow_inner"),
        ("head_yaw", "yaw"),
        ("head_pitch", "pitch"),
        ("head_roll", "roll"),
        ("blink", "blink"),
    ],
)
def test_a_measure_follows_its_movement(moved: Features, name: str, move: str) -> None:
    done = MOVES[move](moved.intervals[:, 0])
    assert np.corrcoef(column(moved, name), done)[0, 1] >= 0.8


@pytest.mark.parametrize(("gaze", "angle"), [("gaze_x", "yaw"), ("gaze_y", "pitch")])
def test_eyes_that_go_with_the_head_do_not_seem_to_look_aside(moved: Features, gaze: str, angle: str) -> None:
    """A look to the side moves an iris by a tenth of the eye's width and more, a head turned by 10° by a hundredth."""
    seen = column(moved, gaze)
    known = np.isfinite(seen) & (column(moved, "blink") < 0.5)
    turned = MOVES[angle](moved.intervals[:, 0])[known]
    assert abs(np.polyfit(turned, seen[known], 1)[0]) < 0.0015


def test_angles_are_degrees(moved: Features) -> None:
    for name, move in (("head_yaw", "yaw"), ("head_pitch", "pitch"), ("head_roll", "roll")):
        slope = np.polyfit(MOVES[move](moved.intervals[:, 0]), column(moved, name), 1)[0]
        assert 0.6 < slope < 1.4, name


def test_speeds_are_the_changes_per_second(moved: Features) -> None:
    assert column(moved, "head_yaw_speed") == pytest.approx(
        np.gradient(column(moved, "head_yaw").astype(float), moved.intervals[:, 0]), abs=0.1
    )


def test_rows_have_names_times_and_no_holes_while_the_face_is_there(moved: Features) -> None:
    assert moved.values.shape == (round(SECONDS * RATE), len(NAMES))
    assert moved.values.dtype == np.float32
    assert Expressions().spec.names == NAMES
    assert np.isfinite(moved.values).all()
    assert (moved.intervals[1:, 0] >= moved.intervals[:-1, 1] - 1e-9).all()
    assert moved.details["with_face"] == len(moved.values)


def two_faces(speaks: str, seconds: float) -> tuple[list[NDArray[np.uint8]], NDArray[np.float32]]:
    """Side by side: one mouth moves with bursts of sound, the other in the pauses."""
    times = np.arange(0, seconds, 1 / RATE)
    burst = (times % 2.0) < 1.0
    chatter = 0.5 + 0.5 * np.sin(2 * np.pi * 3.1 * times)
    image = portrait()
    with_voice = [render(image, ASTRONAUT, {"mouth_open": float(m)}, side=160) for m in chatter * burst]
    in_pauses = [render(image, ASTRONAUT, {"mouth_open": float(m)}, side=160) for m in chatter * ~burst]
    order = (with_voice, in_pauses) if speaks == "left" else (in_pauses, with_voice)
    at = np.arange(round(seconds * 16_000)) / 16_000
    voice = 0.4 * np.sin(2 * np.pi * 180 * at) * ((at % 2.0) < 1.0)
    return [np.hstack(pair) for pair in zip(*order, strict=True)], voice.astype(np.float32)


@pytest.mark.parametrize("side", ["left", pytest.param("right", marks=pytest.mark.slow)])
def test_of_two_faces_the_one_that_moves_with_the_voice_is_chosen(tmp_path: Path, side: str) -> None:
    pictures, voice = two_faces(side, 4.0)
    features = Expressions(gaze_hz=0.0)(Media(write_clip(tmp_path / "two.mp4", pictures, rate=RATE, sound=voice)))
    faces = features.details["faces"]
    assert features.details["most_faces_at_once"] == 2
    assert len(faces) == 2
    shares = [face["chosen"] / features.details["frames"] for face in faces]
    assert max(shares) > 0.9
    burst = (features.intervals[:, 0] % 2.0) < 0.9
    assert column(features, "mouth_open")[burst].std() > 2 * column(features, "mouth_open")[~burst].std()


@pytest.mark.parametrize(("x", "y"), [(40, 60), (560, 330), (1100, 20)])
def test_a_small_face_is_found_when_looked_for_closer(x: int, y: int) -> None:
    """A face of a fifteenth of the picture's height, anywhere in it."""
    resize = pytest.importorskip("skimage.transform").resize
    picture = np.full((720, 1280, 3), 120, np.uint8)
    small = resize(portrait(), (240, 240), anti_aliasing=True, preserve_range=True)
    picture[y : y + 240, x : min(x + 240, 1280)] = small[:, : 1280 - x].astype(np.uint8)
    assert not detect(picture)
    (box,) = detect(picture, closer=True)
    assert abs(box.x - (x + 105)) < 20  # where the portrait has its face
    assert abs(box.y - (y + 60)) < 20
    assert mesh(picture, box)[1] > 0.9


def test_no_face_gives_rows_of_nothing(tmp_path: Path) -> None:
    black = write_clip(tmp_path / "black.mp4", [np.zeros((120, 160, 3), np.uint8)] * 10)
    features = Expressions()(Media(black))
    assert len(features.values) == 5
    assert without_face(features).all()
    assert features.details["faces"] == []


@pytest.mark.parametrize(("rows", "columns", "side"), [(2, 3, 160), (5, 8, 128)])
def test_of_many_faces_only_the_largest_are_followed(tmp_path: Path, rows: int, columns: int, side: int) -> None:
    crowd = np.tile(render(portrait(), ASTRONAUT, {}, side=side), (rows, columns, 1))
    path = write_clip(tmp_path / "crowd.mp4", [crowd] * 4, rate=5.0)
    features = Expressions(most_faces=3, gaze_hz=0.0)(Media(path))
    assert len(features.values) == 4
    assert len(features.details["faces"]) <= 3
    if rows * columns == 6:  # forty are too small for the detector to see them all
        assert features.details["most_faces_at_once"] >= 4
        assert not without_face(features).any()


def test_gaze_that_is_not_looked_for_is_missing(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", talking(lambda _: {}, np.arange(0, 1, 0.2)), rate=5.0)
    features = Expressions(gaze_hz=0.0)(Media(path))
    assert not without_face(features).any()
    assert np.isnan(column(features, "gaze_x")).all()
    assert np.isnan(column(features, "gaze_y")).all()


def test_a_face_that_leaves_and_returns_is_missing_in_between(tmp_path: Path) -> None:
    face = next(talking(lambda _: {}, np.arange(1)))
    pictures = [face] * 10 + [np.full_like(face, 90)] * 10 + [face] * 10
    features = Expressions()(Media(write_clip(tmp_path / "gone.mp4", pictures, rate=10.0)))
    missing = without_face(features)
    assert missing[:10].sum() == 0
    assert missing[10:20].all()
    assert missing[20:].sum() <= 1
    assert len(features.details["faces"]) == 1  # the same face, at its place


def test_the_same_file_gives_the_same_rows(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", talking(lambda t: {"mouth_open": t}, np.arange(0, 1, 0.1)), rate=10.0)
    np.testing.assert_array_equal(Expressions()(Media(path)).values, Expressions()(Media(path)).values)


def test_without_picture_or_with_senseless_options_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="rate_hz"):
        Expressions(rate_hz=0.0)
    with pytest.raises(DataError, match="no such movement: 'wink'"):
        render(np.zeros((512, 512, 3), np.uint8), ASTRONAUT, {"wink": 1.0})
    silent = Media(clip(tmp_path / "a.mp4"))
    silent.video = None
    with pytest.raises(MediaError):
        Expressions()(silent)


@pytest.mark.parametrize("name", ["bbaf2n", "brbk7n", "lbax4n", "lrwp9a", "sbwe5n", "swiz3n"])
def test_real_grid_faces_are_always_found(name: str) -> None:
    path = need_data(f"video/{name}.mpg")
    features = Expressions(rate_hz=8.0)(Media(path))
    assert without_face(features).mean() <= 0.05
    assert features.details["most_faces_at_once"] == 1


@pytest.mark.parametrize(
    "name",
    [
        "video/single_face.mp4",
        pytest.param("mosi/raw/Oz06ZWiO20M_6.mp4", marks=pytest.mark.slow),
        pytest.param("video/driving_d11.mp4", marks=pytest.mark.slow),
        pytest.param("video/driving_d12.mp4", marks=pytest.mark.slow),
        pytest.param("video/driving_d18.mp4", marks=pytest.mark.slow),
    ],
)
def test_real_single_faces_are_found(name: str) -> None:
    path = need_data(name)
    features = Expressions()(Media(path))
    assert without_face(features).mean() <= 0.05
    assert np.isfinite(features.values[~without_face(features)]).mean() > 0.99


def test_presence_falls_when_a_real_face_leaves() -> None:
    path = need_data("video/face_noface.mov")
    features = Expressions(rate_hz=8.0)(Media(path))
    missing, at = without_face(features), features.intervals[:, 0]
    assert missing[at < 2.2].mean() < 0.05
    assert missing[at > 3.0].mean() > 0.95


def test_crops_are_those_of_pytorch() -> None:
    """Extraction runs without PyTorch; what was extracted with it before stays the same, but for rounding."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        height, width, side = (int(n) for n in rng.integers(2, 300, 3))
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        middle, step = rng.uniform(-0.2, 1.2, 2) * (width, height), rng.uniform(-3, 3, 2)
        places = np.arange(side) - (side - 1) / 2
        x = middle[0] + places * step[0] - places[:, None] * step[1]
        y = middle[1] + places * step[1] + places[:, None] * step[0]
        expected = torch.nn.functional.grid_sample(
            torch.from_numpy(image).permute(2, 0, 1)[None].double(),
            torch.from_numpy(np.stack([2 * x / width - 1, 2 * y / height - 1], axis=-1))[None],
            align_corners=False,
        )
        found = (
            torch.from_numpy(sampled(packed(image), tuple(middle), tuple(step), side)).permute(2, 0, 1)[None].double()
        )
        # A place is known to about a forty-thousandth of a pixel here, and neighbours are up to 255 apart.
        torch.testing.assert_close(found, expected, rtol=0, atol=0.05)
        assert float((found - expected).abs().mean()) < 1e-3
