"""Whatever a recording or an utterance lacks: an answer, and the reason. With intervals, for every kind of task."""

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

import tiny
import voices
from mecam.cli import main
from mecam.data.store import Store, StoreWriter
from mecam.errors import ModelError
from mecam.features.recording import Recipe, read_recording
from mecam.models.calibration import IntervalScale
from mecam.models.trained import Trained, save_checkpoint
from mecam.prediction.predictor import Predictor
from mecam.report.recording import write_recording
from mecam.task import Task
from mecam.types import TEXT, Utterance

KINDS = tuple(tiny.TASKS)


def with_interval(trained: Trained) -> Trained:
    """The model with an interval that grows with what is missing, as training makes it."""
    reads = trained.model.reads
    widening = IntervalScale(dict.fromkeys(reads, 0.1), {m: 0.5 + i for i, m in enumerate(reads)})
    return replace(trained, checkpoint=replace(trained.checkpoint, calibration={"0.9": 0.8}, widening=widening))


def voice_run(folder: Path, task: Task, encoder: str) -> Trained:
    """A model of our own voice features and text, untrained but shaken."""
    recipe = Recipe(("mecam-audio",))
    with StoreWriter(folder / "store", name="voices", task=task, specs=recipe.specs()) as writer:
        for i, split in enumerate(("train", "train", "train", "valid")):
            wav = voices.write_wav(folder / f"{i}.wav", voices.buzz(0.6, hertz=100 + 40 * i, slope=i / 4))
            (utterance,) = read_recording(wav, recipe, id=str(i), text="the film was good").utterances
            writer.add(replace(utterance, split=split, label=tiny.label_of(task, i / 2 - 0.75)))
    trained = tiny.build("mecam", Store(folder / "store"), encoder, used=True)
    return with_interval(trained) if task.kind == "regression" else trained


@pytest.fixture(scope="module", params=KINDS)
def predictor(request: pytest.FixtureRequest, encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    task = tiny.TASKS[request.param]
    return Predictor(voice_run(tmp_path_factory.mktemp(request.param), task, encoder))


def subsets(modalities: Sequence[str]) -> list[tuple[str, ...]]:
    return [part for size in range(len(modalities) + 1) for part in combinations(modalities, size)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["mecam", "lf_dnn", "mult"])
def test_every_subset_of_modalities(kind: str, name: str, encoder: str, tmp_path: Path) -> None:
    task = tiny.TASKS[kind]
    store = tiny.write_store(tmp_path / "s", task, tiny.utterances(task))
    trained = tiny.build(name, store, encoder, used=True)
    predictor = Predictor(with_interval(trained) if kind == "regression" else trained)
    whole = next(
        u for u in store if u.text and len(u.streams) == 3 and not any(np.isnan(r).any() for r in u.streams.values())
    )
    for present in subsets(trained.model.reads):
        streams = {m: rows for m, rows in whole.streams.items() if m in present}
        one = replace(whole, text=whole.text if TEXT in present else None, streams=streams)
        (said,) = predictor.predict_utterances([one])
        assert set(said.absent) == set(trained.model.reads) - set(present)
        json.dumps(said.to_json(), allow_nan=False)
        if kind == "regression":
            assert said.low is not None
            assert said.high is not None
            assert task.low <= said.low <= said.high <= task.high
        else:
            assert all(0 <= p <= 1 for p in said.probabilities.values())
    silent = {m: np.full_like(rows, np.nan) for m, rows in whole.streams.items()}
    (said,) = predictor.predict_utterances([replace(whole, streams=silent)])
    assert set(said.absent) == set(trained.model.reads) - {TEXT}, "rows that are all missing are none"


def test_the_interval_is_widest_where_most_is_missing(encoder: str, store: Store) -> None:
    predictor = Predictor(with_interval(tiny.build("mecam", store, encoder, used=True)))
    whole = next(u for u in store if u.text and len(u.streams) == 3)
    few = predictor.predict_utterances([replace(whole, streams={})])[0]
    all_ = predictor.predict_utterances([whole])[0]
    widths = [(p.high or 0) - (p.low or 0) for p in (all_, few)]
    assert widths[0] < widths[1]


@pytest.mark.parametrize("words", [False, True])
@pytest.mark.parametrize(
    ("sound", "text", "absent"),
    [
        (True, True, {}),
        (True, False, {"text": "no transcript was given"}),
        (False, True, {"audio": "the sound is silent"}),
    ],
)
def test_recordings_with_what_they_have(
    predictor: Predictor, tmp_path: Path, words: bool, sound: bool, text: bool, absent: dict[str, str]
) -> None:
    wav = voices.write_wav(tmp_path / "a.wav", voices.buzz(0.8, gain=0.2 if sound else 0.0))
    if text:
        wav.with_suffix(".txt").write_text("the film was superb", encoding="utf-8")
    watched = predictor.predict_file(wav, words=words)
    assert watched.absent == absent
    (part,) = watched.parts
    assert part.absent == tuple(absent)
    assert part.alone == {} if absent else set(part.alone) == {"text", "audio"}
    assert watched.contributions == () or (words and text)
    json.dumps(watched.to_json(), allow_nan=False)
    page = write_recording(tmp_path / "a.html", watched, predictor.task, {"run": "r", "model": "m"}).read_text("utf-8")
    for modality, why in absent.items():
        assert f"{modality.capitalize()} is absent: {why}." in page
    for name, share in part.probabilities.items():
        assert f"{name} {100 * share:.0f} %" in page, "all probabilities are told"


def test_a_silent_recording_without_words_is_refused(predictor: Predictor, tmp_path: Path) -> None:
    wav = voices.write_wav(tmp_path / "a.wav", np.zeros(voices.RATE_HZ, np.float32))
    with pytest.raises(ModelError, match=r"no input for this model \(.*the sound is silent.*\)"):
        predictor.predict_file(wav)


def test_utterances_of_nothing_do_not_speak_for_the_whole(predictor: Predictor, tmp_path: Path) -> None:
    """Half a minute of silence between words says nothing, and moves nothing."""
    quiet = np.zeros(20 * voices.RATE_HZ, np.float32)
    sound = np.concatenate([voices.buzz(1.0), quiet, voices.buzz(1.0, hertz=220)])
    wav = voices.write_wav(tmp_path / "a.wav", sound)
    captions = "1\n00:00:00,000 --> 00:00:01,000\nsuperb\n\n2\n00:00:05,000 --> 00:00:10,000\n \n\n"
    wav.with_suffix(".srt").write_text(captions + "3\n00:00:21,000 --> 00:00:22,000\nawful\n")
    watched = predictor.predict_file(wav)
    empty = [part for part in watched.parts if set(part.absent) == {"text", "audio"}]
    telling = [part for part in watched.parts if part not in empty]
    if empty:
        assert any("hold nothing" in finding for finding in watched.findings)
    if watched.overall.score is not None:
        lengths = [(p.stop or 0) - (p.start or 0) for p in telling]
        assert watched.overall.score == pytest.approx(np.average([p.score or 0 for p in telling], weights=lengths))


def test_what_is_missing_was_not_kept(encoder: str, store: Store) -> None:
    """A row that no filter has seen has None, one that was taken away altogether has 0."""
    predictor = Predictor(tiny.build("mecam", store, encoder, used=True))
    rows = np.ones((4, 4), np.float32)
    rows[1] = np.nan
    (said,) = predictor.predict_utterances([Utterance(id="a", text="good film", streams={"audio": rows})])
    kept = said.to_json()["kept"]["audio"]
    assert kept[1] is None
    assert all(isinstance(kept[i], float) for i in (0, 2, 3))


def test_weights_that_are_no_numbers(
    encoder: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    trained = tiny.build("mecam", store, encoder, used=True)
    name, _ = next(trained.model.named_parameters())
    for value, word in ((float("nan"), "NaN"), (float("inf"), "infinity")):
        with torch.no_grad():
            for weight in trained.model.parameters():
                weight.view(-1)[0] = value
        with pytest.raises(ModelError, match=f"weights hold {word}"):
            Predictor(trained).predict_text("a good film")
        place = tmp_path / word
        save_checkpoint(place / "checkpoint", trained)
        for command in (
            ["predict", "a good film", "--model", str(place)],
            ["evaluate", str(place), "--data", str(store.path)],
            ["explain", "utterance", str(place), store[0].id, "--data", str(store.path)],
            ["robustness", str(place), "--data", str(store.path)],
        ):
            assert main(command) == 1
            out, err = capsys.readouterr()
            assert f"the model's weights hold {word}: {name}" in err.replace("\n", " ")
            assert err.count("error:") == 1
            assert "nan" not in out


def test_the_case_of_one_modality(
    shared_cases: Path, encoder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = shared_cases / "16_predict_one_modality"
    trained = voice_run(tmp_path, tiny.TASKS["regression"], encoder)
    save_checkpoint(tmp_path / "run" / "checkpoint", trained)
    for name, told in (
        ("no_transcript.wav", ["Text is absent: no transcript was given."]),
        ("with_transcript.wav", []),
        ("face_and_voice.mp4", ["Text is absent: no transcript was given."]),
    ):
        page = tmp_path / f"{name}.html"
        assert main(["predict", str(case / name), "--model", str(tmp_path / "run"), "--html", str(page)]) == 0
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        assert all(line in out and line in page.read_text("utf-8") for line in told)
        assert ("is absent" in out) == bool(told)
    assert main(["predict", str(case / "silent_video.mp4"), "--model", str(tmp_path / "run")]) == 1, "it reads no faces"
