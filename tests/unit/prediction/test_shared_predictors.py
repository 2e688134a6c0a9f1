"""Predictors may be shared between threads: many threads at once give what one gives alone."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
import voices
from exported_models import of_clips
from mecam.data.store import Store
from mecam.features.recording import Recipe, read_recording
from mecam.models.registry import MODELS
from mecam.prediction.predictor import Predictor, load
from mecam.task import Regression
from mecam.types import Utterance

THREADS, ROUNDS = 6, 3


def at_once(ask: Callable[[int], Any], count: int) -> list[list[Any]]:
    """What `ask(0)` … `ask(count - 1)` give, each asked several times from many threads."""
    order = [number for _ in range(ROUNDS) for number in range(count)]
    with ThreadPoolExecutor(THREADS) as pool:
        given = list(pool.map(ask, order))
    return [[result for number, result in zip(order, given, strict=True) if number == one] for one in range(count)]


def scores(predictions: Sequence[Any]) -> list[float]:
    return [p.score for p in predictions]


@pytest.mark.parametrize("name", [name for name in MODELS if name != "constant"])
def test_utterances_of_every_model(name: str, store: Store, encoder: str) -> None:
    """Some models change their encoder while they answer: nobody else may be answered meanwhile."""
    predictor = Predictor(tiny.build(name, store, encoder, used=True))
    groups: list[list[Utterance]] = [[store[i] for i in range(first, first + 3)] for first in range(0, 12, 3)]
    alone = [scores(predictor.predict_utterances(group)) for group in groups]
    for expected, results in zip(
        alone, at_once(lambda i: scores(predictor.predict_utterances(groups[i])), len(groups)), strict=True
    ):
        for result in results:
            assert result == expected


def test_sentences_with_new_words(store: Store, encoder: str) -> None:
    """The tokenizer learns words as they come, from all threads."""
    sentences = [f"the film was word{number} and superb" for number in range(40)]
    alone = Predictor(tiny.build("text_only", store, encoder, used=True)).predict_text(sentences)
    shared = Predictor(tiny.build("text_only", store, encoder, used=True))
    for expected, results in zip(alone, at_once(lambda i: shared.predict_text(sentences[i]), 40), strict=True):
        assert scores(results) == pytest.approx([expected.score] * ROUNDS, abs=1e-6)


def test_recordings_through_two_predictors(encoder: str, tmp_path: Path) -> None:
    recipe = Recipe(("mecam-audio",))
    clips = []
    for i in range(4):
        sound = voices.buzz(0.6 + i / 5, hertz=100 + 40 * i, slope=i / 4)
        clips.append(voices.write_wav(tmp_path / f"{i}.wav", sound))
        clips[-1].with_suffix(".txt").write_text("the film was good")
    utterances = [read_recording(clip, recipe, id=clip.stem, text="the film was good").utterances[0] for clip in clips]
    from dataclasses import replace

    from mecam.data.store import StoreWriter

    with StoreWriter(tmp_path / "s", name="voices", task=Regression(), specs=recipe.specs()) as writer:
        for i, utterance in enumerate(utterances):
            writer.add(replace(utterance, split="train" if i < 3 else "valid", label=float(i - 1)))
    both = [Predictor(tiny.build("mecam", Store(tmp_path / "s"), encoder, used=True, seed=seed)) for seed in (1, 2)]
    asked = [(predictor, clip) for predictor in both for clip in clips]
    alone = [predictor.predict_file(clip, words=True) for predictor, clip in asked]
    given = at_once(lambda i: asked[i][0].predict_file(asked[i][1], words=True), len(asked))
    for expected, results in zip(alone, given, strict=True):
        for result in results:
            assert result.to_json() == expected.to_json()


def test_faces_of_real_clips(shared_data: Path, encoder: str, tmp_path: Path) -> None:
    """Two predictors, many threads, real videos: as alone."""
    from mecam.data.store import StoreWriter

    videos = sorted((shared_data / "video").glob("*.mpg"))[:3]
    recipe = Recipe(("mecam-audio", "mecam-vision"))
    with StoreWriter(tmp_path / "s", name="faces", task=Regression(), specs=recipe.specs()) as writer:
        from dataclasses import replace

        for i, video in enumerate(videos):
            (utterance,) = read_recording(video, recipe, id=video.stem, text="the film was good").utterances
            writer.add(replace(utterance, split="train" if i < 2 else "valid", label=float(i - 1)))
    both = [Predictor(tiny.build("mecam", Store(tmp_path / "s"), encoder, used=True, seed=seed)) for seed in (1, 2)]
    asked = [(predictor, video) for predictor in both for video in videos]
    alone = [predictor.predict_file(video) for predictor, video in asked]
    given = at_once(lambda i: asked[i][0].predict_file(asked[i][1]), len(asked))
    for expected, results in zip(alone, given, strict=True):
        for result in results:
            assert result.to_json() == expected.to_json()
            np.testing.assert_array_equal(
                result.utterances[0].streams["vision"], expected.utterances[0].streams["vision"]
            )


@pytest.mark.parametrize("times", [6, pytest.param(50, marks=pytest.mark.slow)])
def test_clips_and_sentences_through_an_exported_model(times: int, encoder: str, tmp_path: Path) -> None:
    """Eight threads, each with clips and sentences in turn: to the last bit what one thread gives."""
    folder = of_clips(tmp_path, encoder, "late_fusion")
    predictor = load(folder / "exported")
    sound = voices.write_wav(tmp_path / "voice.wav", voices.buzz(0.8, hertz=140.0))
    asked: list[Path | str] = [folder / "clip.mp4", "the film was superb", sound, "DULL FOOD", "it was good"]
    alone = [predictor.predict(one).to_json() for one in asked]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: predictor.predict(asked[i % len(asked)]).to_json(), range(8 * times)))
    assert [i for i, one in enumerate(found) if one != alone[i % len(asked)]] == []
