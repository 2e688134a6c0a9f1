"""Corruption of recordings: as strong as asked for, where it says, nowhere else, the same each time."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage, signal

import clips
import voices
from mecam.cli.main import main
from mecam.data.corruption import Corruption
from mecam.data.store import Store
from mecam.errors import ConfigError, DataError
from mecam.features.corruption import KINDS, CorruptedMedia, parse_corruption, pictures, sounds
from mecam.features.extract import extract
from mecam.features.media import Media
from mecam.features.recording import Recipe, read_recording
from mecam.features.segmentation import Lengths

RATE = 16_000
SOUND = [name for name, kind in KINDS.items() if kind.medium == "sound"]
PICTURE = [name for name, kind in KINDS.items() if kind.medium == "picture"]


def speech(seconds: float = 4.0) -> np.ndarray:
    """A buzz that comes and goes, with pauses of next to nothing."""
    sound = voices.buzz(seconds)
    pause = np.arange(len(sound)) // (RATE // 2) % 2 == 1
    return np.where(pause, 1e-4 * sound, sound).astype(np.float32)


def scene(samples: np.ndarray, seed: int = 0) -> sounds.SoundContext:
    others = tuple(voices.buzz(2.5, hertz=hertz, gain=0.05) for hertz in (90.0, 170.0, 230.0))
    return sounds.SoundContext(RATE, np.random.default_rng(seed), sounds.active_power(samples, RATE), others)


def test_the_level_of_speech_is_that_of_its_sounding_half() -> None:
    whole = float(np.square(voices.buzz(4.0)).mean())
    assert sounds.active_power(speech(), RATE) == pytest.approx(whole, rel=0.05)
    assert sounds.active_power(np.zeros(RATE, np.float32), RATE) == 0


@pytest.mark.parametrize("kind", ["white", "pink", "babble", "music", "burst"])
@pytest.mark.parametrize("snr", [15.0, 0.0, -5.0])
def test_noise_has_the_ratio_that_was_asked_for(kind: str, snr: float) -> None:
    clean = speech()
    noisy, touched = KINDS[kind].corrupt(clean, snr, scene(clean))  # type: ignore[misc]
    noise = (noisy.astype(np.float64) - clean)[touched]
    found = 10 * np.log10(float(np.square(voices.buzz(4.0)).mean()) / float(np.square(noise).mean()))
    assert abs(found - snr) < 0.5
    assert touched.all() or kind == "burst"


def test_pink_noise_falls_by_three_decibels_an_octave() -> None:
    clean = speech(8.0)
    noise = sounds.pink(clean, 0.0, scene(clean))[0] - clean
    power = np.abs(np.fft.rfft(noise)) ** 2
    hertz = np.fft.rfftfreq(len(noise), 1 / RATE)
    octaves = [power[(hertz >= low) & (hertz < 2 * low)].mean() for low in (100, 200, 400, 800, 1600)]
    assert -10 * np.log10(np.array(octaves[1:]) / octaves[:-1]) == pytest.approx([3.0] * 4, abs=0.8)


@pytest.mark.parametrize("kind", SOUND)
def test_sound_is_corrupted_as_told_and_the_original_stays(kind: str) -> None:
    clean = speech()
    before = clean.copy()
    for level in KINDS[kind].levels:
        first, touched = KINDS[kind].corrupt(clean, level, scene(clean))  # type: ignore[misc]
        again, _ = KINDS[kind].corrupt(clean, level, scene(clean))  # type: ignore[misc]
        assert np.array_equal(first, again)
        assert np.array_equal(clean, before)
        assert first.dtype == np.float32
        assert np.array_equal(first[~touched], clean[~touched])
        assert not np.array_equal(first[touched], clean[touched])


@pytest.mark.parametrize("hertz", [50.0, 500.0, 3000.0, 7000.0, 7990.0])
def test_the_low_pass_filter_is_the_recursive_one_of_scipy(hertz: float) -> None:
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    sections = signal.butter(8, hertz, fs=RATE, output="sos")
    expected = signal.sosfilt(sections, noise.astype(np.float64))
    assert sounds.low_pass(noise, hertz, scene(noise))[0] == pytest.approx(expected, abs=1e-6)


def test_a_room_rings_as_its_convolution_says() -> None:
    clean = speech(1.0)
    room = np.random.default_rng(0).standard_normal(RATE // 2) * 10 ** (-3 * np.arange(RATE // 2) / (RATE // 2))
    room /= np.sqrt(np.square(room).sum())
    room[0] += 1
    expected = signal.fftconvolve(clean.astype(np.float64), room)[: len(clean)]
    expected *= np.sqrt(np.square(clean, dtype=np.float64).sum() / np.square(expected).sum())
    assert sounds.reverb(clean, 0.5, scene(clean))[0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("share", [0.0005, 0.01, 0.04, 0.5])
@pytest.mark.parametrize("shape", [(36, 64, 3), (7, 5, 3)])
def test_blur_is_the_gaussian_of_scipy(share: float, shape: tuple[int, int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    picture[: shape[0] // 2] = 200  # an even surface must stay as bright
    sigma = share * min(shape[:2])
    expected = ndimage.gaussian_filter(picture, (sigma, sigma, 0), truncate=2.5)
    assert np.array_equal(pictures.blur(picture, share, pictures.PictureContext(np.random.default_rng(0))), expected)


@pytest.mark.parametrize("kind", SOUND)
def test_silence_and_nothing_are_no_failure(kind: str) -> None:
    for count in (0, 1, RATE):
        silent = np.zeros(count, np.float32)
        corrupted, touched = KINDS[kind].corrupt(silent, KINDS[kind].levels[2], scene(silent))  # type: ignore[misc]
        assert np.array_equal(corrupted, silent)
        assert len(touched) == count


@pytest.mark.parametrize("kind", [name for name in SOUND if name != "reverb"])  # its length is tested below
def test_a_higher_severity_does_more_harm(kind: str) -> None:
    clean = speech()
    harm = [
        float(np.square(KINDS[kind].corrupt(clean, level, scene(clean))[0].astype(np.float64) - clean).sum())  # type: ignore[misc]
        for level in KINDS[kind].levels
    ]
    assert harm[0] < harm[2] < harm[4]


def test_what_is_cut_off_what_remains_and_what_rings() -> None:
    clean = speech()
    clipped, touched = sounds.clipping(clean, 0.1, scene(clean))
    assert np.abs(clipped).max() == pytest.approx(np.abs(clean[~touched]).max(), abs=1e-3)
    assert touched.mean() == pytest.approx(0.05, abs=0.01)  # a tenth of the half that is speech
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    power = np.abs(np.fft.rfft(sounds.low_pass(noise, 1000.0, scene(noise))[0])) ** 2
    assert power[1500:].mean() < 1e-3 * power[100:900].mean()  # 1 Hz a bin
    click = np.zeros(RATE, np.float32)
    click[0] = 1.0
    tail = np.square(sounds.reverb(click, 0.5, scene(click))[0].astype(np.float64))
    fall = 10 * np.log10(tail[1600:2400].mean() / tail[4800:5600].mean())  # over 0.2 of 0.5 seconds
    assert fall == pytest.approx(60 * 0.2 / 0.5, abs=2.0)


def test_losses_come_in_runs_at_the_rate_asked_for() -> None:
    lost = sounds.lost_runs(40_000, 0.2, np.random.default_rng(0))
    runs = int((np.diff(lost.astype(int), prepend=0) == 1).sum())
    assert lost.mean() == pytest.approx(0.2, abs=0.02)
    assert lost.sum() / runs == pytest.approx(sounds.LOST_TOGETHER, abs=0.1)
    assert sounds.lost_runs(5, 1e-6, np.random.default_rng(0)).sum() == 1
    assert sounds.lost_runs(5, 1.0, np.random.default_rng(0)).all()


def checks(height: int = 120, width: int = 160) -> np.ndarray:
    """A checkerboard with a colour in it."""
    y, x = np.mgrid[:height, :width] // 6
    picture = np.where(((x + y) % 2 == 0)[..., None], 220, 30).astype(np.uint8).repeat(3, axis=2)
    picture[30:60, 40:80] = (200, 80, 40)
    return picture


@pytest.mark.parametrize("kind", [name for name in PICTURE if KINDS[name].corrupt])
def test_pictures_are_corrupted_more_by_higher_severities_and_the_same_each_time(kind: str) -> None:
    picture = checks()
    before, harm = picture.copy(), []
    levels = KINDS[kind].levels if kind != "pixels" else (100.0, 80.0, 60.0, 40.0, 20.0)
    for level in levels:
        first, again = (
            KINDS[kind].corrupt(picture, level, pictures.PictureContext(np.random.default_rng(0)))  # type: ignore[misc]
            for _ in range(2)
        )
        assert first.shape == picture.shape
        assert first.dtype == np.uint8
        assert np.array_equal(first, again)
        harm.append(float(np.abs(first.astype(int) - picture).mean()))
    assert np.array_equal(picture, before)
    assert 0 < harm[0] < harm[2] < harm[4]


def test_a_cover_lies_on_the_face_and_low_light_is_as_low_as_told() -> None:
    view = pictures.PictureContext(np.random.default_rng(0), face=(40.0, 20.0, 80.0, 100.0))
    picture = checks()
    covered = pictures.occlusion(picture, 0.25, view)
    changed = (covered == pictures.GREY).all(axis=2)
    expected = np.zeros_like(changed)
    expected[80:100, 40:80] = True
    assert np.array_equal(changed, expected)
    assert np.array_equal(covered[~changed], picture[~changed])
    grey = np.full((100, 100, 3), 200, np.uint8)
    assert pictures.low_light(grey, 0.3, view).mean() == pytest.approx(60, abs=1)


@pytest.fixture(scope="module")
def long_sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return voices.write_wav(tmp_path_factory.mktemp("long") / "talk.wav", speech(24.0))


@pytest.mark.parametrize("kind", ["white", "babble", "packets", "mute"])
def test_a_recording_is_corrupted_where_it_says_and_nowhere_else(kind: str, long_sound: Path, tmp_path: Path) -> None:
    other = voices.write_wav(tmp_path / "other.wav", voices.buzz(3.0, hertz=200.0))
    one = Corruption(kind, KINDS[kind].levels[3], extent=0.3)
    media = CorruptedMedia(long_sound, [one], name="a", others=[other])
    clean, corrupted = Media(long_sound).waveform()[1], media.waveform()[1]
    assert len(clean) == len(corrupted)
    inside = np.zeros(len(clean), bool)
    for start, stop in media.spans("sound")[kind]:
        inside[round(start * RATE) : round(stop * RATE)] = True
    changed = clean != corrupted
    assert not changed[~inside].any()
    assert changed[inside].mean() > (0.9 if kind in ("white", "babble") else 0.4)
    if kind in ("white", "babble"):  # one stretch of each ten seconds, the last of which are four
        assert inside.mean() == pytest.approx(0.3, abs=0.01)
        assert len(media.spans("sound")[kind]) == 3
    at, part = CorruptedMedia(long_sound, [one], name="a", others=[other]).waveform(7.3, 13.1)
    assert np.array_equal(part, corrupted[round(at * RATE) : round(at * RATE) + len(part)])
    assert not np.array_equal(CorruptedMedia(long_sound, [one], name="b", others=[other]).waveform()[1], corrupted)


def test_any_draws_a_kind_for_each_recording(long_sound: Path) -> None:
    def drawn_for(name: str, text: str, **options: float) -> tuple[Corruption, ...]:
        given = [parse_corruption(text, **options)]  # type: ignore[arg-type]
        return CorruptedMedia(long_sound, given, name=name, others=[long_sound]).corruptions

    drawn = [drawn_for(f"r{i}", "any") for i in range(40)]
    assert all([KINDS[d.kind].medium for d in pair] == ["sound", "picture"] for pair in drawn)
    assert len({pair[0].kind for pair in drawn}) > 5
    assert len({pair[0].severity for pair in drawn if pair[0].kind == "white"} | {d[1].severity for d in drawn}) > 5
    assert drawn[0] == drawn_for("r0", "any")
    third = drawn_for("r0", "any:3", extent=0.2)
    assert all(d.severity == KINDS[d.kind].levels[2] and d.extent == 0.2 for d in third)


@pytest.mark.parametrize("kind", ["blank", "frozen", "drops", "dark"])
def test_frames_are_touched_at_the_times_it_says(kind: str, tmp_path: Path) -> None:
    path = clips.clip(tmp_path / "count.mkv", count=75, codec="ffv1")
    clean = list(Media(path).frames())
    media = CorruptedMedia(path, [Corruption(kind, 0.5, extent=0.6)], name="a")
    corrupted = list(media.frames())
    touched = media.spans("picture")[kind]
    inside = [bool(((touched[:, 0] <= f.time) & (f.time < touched[:, 1])).any()) for f in clean]
    changed = [not np.array_equal(a.image, b.image) for a, b in zip(clean, corrupted, strict=True)]
    assert changed == inside
    share = 0.6 * (1.0 if kind == "dark" else 0.5)
    assert np.mean(changed) == pytest.approx(share, abs=0.2 if kind == "drops" else 0.03)
    if kind == "blank":
        assert not any(f.image.any() for f, hit in zip(corrupted, inside, strict=True) if hit)
    if kind == "frozen":
        first = inside.index(True)
        assert all(np.array_equal(f.image, corrupted[first - 1].image) for f in corrupted[first : first + 10])


def test_a_store_knows_which_rows_are_corrupted(long_sound: Path, tmp_path: Path) -> None:
    given = (Corruption("white", 0.0, extent=0.2), Corruption("mute", 1.0, extent=0.1, seed=1))
    recipe = Recipe(("mecam-audio",), lengths=Lengths(longest=30.0))  # uncut: the extra `asr` knows a buzz from a voice
    whole = read_recording(long_sound, recipe, id=long_sound.stem).utterances
    assert not any(u.injected for u in whole)
    extract([long_sound], tmp_path / "hurt", recipe=replace(recipe, corruptions=given), jobs=1)
    store = Store(tmp_path / "hurt")
    assert [u.id for u in store] == [u.id for u in whole]
    kinds, rows = set(), 0
    for clean, hurt in zip(whole, store, strict=True):
        before, after = clean.streams["audio"], hurt.streams["audio"]
        marked = np.zeros(len(after), bool)
        for span in hurt.injected:
            assert span.modality == "audio"
            marked[span.start : span.stop] = True
            kinds.add(span.kind)
        same = ((before == after) | (np.isnan(before) & np.isnan(after))).all(axis=1)
        near = np.convolve(marked, np.ones(25), "same") > 0  # a row hears 144 ms
        assert same[~near].all()
        assert not same[marked & ~np.isnan(before).all(axis=1)].any()
        rows += int(marked.sum())
    assert kinds == {"white", "mute"}
    total = sum(len(u.streams["audio"]) for u in store)
    assert 0.2 <= rows / total <= 0.31
    kept = json.loads((tmp_path / "hurt" / "manifest.json").read_text())["provenance"]["extracted"]["recipe"]
    assert kept["corruptions"][0] == {"kind": "white", "severity": 0.0, "extent": 0.2, "seed": 0, "modality": ""}


def test_babble_is_made_of_the_other_recordings(tmp_path: Path) -> None:
    for number, hertz in enumerate((110.0, 150.0, 190.0)):
        voices.write_wav(tmp_path / "in" / f"{number}.wav", voices.buzz(1.5, hertz=hertz))
    recipe = Recipe(("mecam-audio",), corruptions=(Corruption("babble", 5.0),))
    report = extract([tmp_path / "in"], tmp_path / "store", recipe=recipe, jobs=1)
    assert report.utterances == 3
    assert all(span.kind == "babble" for u in Store(tmp_path / "store") for span in u.injected)
    with pytest.raises(DataError, match="other recordings"):
        read_recording(tmp_path / "in" / "0.wav", recipe, id="alone")


@pytest.mark.parametrize(
    ("text", "kind", "severity"),
    [
        ("babble:3", "babble", 10.0),
        ("babble=-5", "babble", -5.0),
        ("blur:1", "blur", 0.005),
        ("lowpass=800", "lowpass", 800.0),
    ],
)
def test_a_corruption_is_written_by_severity_or_in_its_unit(text: str, kind: str, severity: float) -> None:
    assert parse_corruption(text, extent=0.5, seed=3) == Corruption(kind, severity, 0.5, 3)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("babel:3", "there is no corruption 'babel'"),
        ("babble", "is not a corruption"),
        ("babble:x", "is not a corruption"),
        ("babble:6", "the severity must be 1, 2, 3, 4 or 5"),
        ("any:7", "the severity must be"),
        ("mute=3", "goes from 0.001 to 1"),
        ("lowpass=nan", "is not a corruption"),
    ],
)
def test_what_is_no_corruption_is_said(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_corruption(text)


def test_the_command_writes_the_corruption_into_the_store_and_takes_the_old_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    voices.write_wav(tmp_path / "in" / "a.wav", voices.buzz(1.0))
    known = []
    for number, option in enumerate(("--corrupt", "--damage")):
        store = tmp_path / str(number)
        given = [option, "mute=1", f"{option}-extent=0.5", f"{option}-seed", "3", "--extractor", "mecam-audio"]
        assert main(["extract", str(tmp_path / "in"), "-o", str(store), "--jobs", "1", *given]) == 0
        assert ("is now called --corrupt-seed" in capsys.readouterr().err) == (option == "--damage")
        known.append(json.loads((store / "manifest.json").read_text())["provenance"]["extracted"]["recipe"])
    assert known[0] == known[1]
    (one,) = known[0]["corruptions"]
    assert one == {"kind": "mute", "severity": 1.0, "extent": 0.5, "seed": 3, "modality": ""}
