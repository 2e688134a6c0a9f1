"""The JSON Schema of predictions: what is written is described, and what is described is documented."""

import json
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from mecam.prediction.formats import as_json
from mecam.prediction.result import Face, Prediction, RecordingPrediction, Voice
from mecam.prediction.rows import ORDER, TEXTS
from panel_answers import PART, panel_recording

SCHEMA = json.loads(resources.files("mecam.prediction").joinpath("predictions.schema.json").read_text("utf-8"))
PAGE = (Path(__file__).parents[3] / "docs" / "predictions.md").read_text("utf-8")
CLIP = Path("clip.mp4")


def checked(results: list[Any]) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(as_json(results)))


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_what_is_written_is_described() -> None:
    trained = Prediction(
        *("a", "a film", 3.1, 2.0, 3.0, "positive"),
        shares={"text": 1.0},
        kept={"text": [0.5, None]},
        alone={"text": 1.0},
        disagrees=("audio",),
        doubts={"text": 0.5},
        absent=("audio",),
    )
    classes = Prediction("1", None, None, None, None, "happy", {"happy": 0.6, "sad": 0.4}, alone={"text": "sad"})
    full = replace(
        panel_recording(CLIP, moments=True), contributions=((0.1, -0.2),), absent={"audio": "silent"},
        details={"vision": ({"frames": 3},)}, findings=("odd",), language="en",
    )  # fmt: skip
    checked([full, panel_recording(CLIP, people=0), trained, classes, replace(full, parts=(trained, classes))])


def test_numbers_of_numpy_are_numbers() -> None:
    said = replace(PART, voice=Voice(np.float64(0.5)), score=np.float64(0.0)).to_json()
    assert (said["voice"], said["score"]) == ({"activation": 0.5}, 0.0)


@pytest.mark.parametrize(
    "wrong",
    [
        replace(PART, emotions={"joy": 1.5}),
        replace(PART, person=0),
        replace(PART, voice=Voice(-0.1)),
        replace(PART, face=Face(2.0)),
        replace(PART, start=-1.0),
    ],
)
def test_what_is_out_of_range_is_found(wrong: Prediction) -> None:
    with pytest.raises(jsonschema.ValidationError):
        checked([wrong])


@pytest.mark.parametrize(
    ("kind", "name", "unsaid"),
    [
        (Prediction, "prediction", set()),
        (Voice, "voice", set()),
        (Face, "face", set()),
        (
            RecordingPrediction,
            "recording",
            {"path": None, "parts": "utterances", "utterances": None, "name": "file", "people": None},
        ),
    ],
)
def test_every_field_is_described(kind: Any, name: str, unsaid: Any) -> None:
    described = SCHEMA["$defs"][name]["properties"]
    named: Mapping[str, str | None] = unsaid or {}
    written = {found for each in fields(kind) if (found := named.get(each.name, each.name)) is not None}
    assert described.keys() == written
    for field, about in described.items():
        assert about.get("description") or "$ref" in about, field


def test_every_field_and_column_is_documented() -> None:
    told = set(re.findall(r"`([a-z_⟨⟩]+)`", PAGE))
    for name, about in SCHEMA["$defs"].items():
        assert about["properties"].keys() <= told, name
    columns = {name for name in ORDER if not name.endswith("_") and name != "movements"}
    assert columns | {f"{name}⟨name⟩" for name in ("prob_", "emotion_", "expression_")} <= told
    assert {f"{name}⟨modality⟩" for name in ("kept_", "share_", "doubt_")} <= told
    assert set(ORDER) > TEXTS
