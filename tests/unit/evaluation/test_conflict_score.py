"""Conflict AUROC by hand, with absent modalities and intervals; conflict probabilities from model to file."""

import dataclasses
import json

import numpy as np
import pytest
import torch

import fake_run
import tiny
from mecam.data.store import Store
from mecam.errors import DataError
from mecam.evaluation.detection import conflict_auroc, conflict_table
from mecam.evaluation.predict import contradicting, predict
from mecam.report.run_page import write_report
from mecam.runs.predictions import read_predictions, write_predictions
from mecam.types import TEXT, Predictions, Span, Utterance


def predictions(conflict_probabilities, videos=None):
    count = len(next(iter(conflict_probabilities.values())))
    ids = tuple(f"u{i}" for i in range(count))
    held = {m: np.array(values, np.float32) for m, values in conflict_probabilities.items()}
    return Predictions(ids, videos or ids, np.zeros(count), np.zeros(count), conflict_probabilities=held)


def contradicts(*modalities):
    return [[Span(m, "contradiction", 0, 3)] if m else [] for m in modalities]


def test_worked_by_hand() -> None:
    given = predictions({"text": [0.9, 0.2, 0.1, 0.3], "audio": [0.05, 0.7, 0.2, 0.1]})
    found = conflict_auroc(given, contradicts("text", "audio", None, "text"))
    # text: 0.9 and 0.3 are above 0.2 and 0.1. audio: 0.7 is above all. any: .95, .9 and .4 are above .3.
    assert found == {"text": 1.0, "audio": 1.0, "any": 1.0}
    found = conflict_auroc(given, contradicts(None, "audio", "text", None))
    assert found == {"text": 0.0, "audio": 1.0, "any": 0.25}


def test_other_spans_are_no_contradictions_and_an_absent_modality_is_no_easy_negative() -> None:
    nan = float("nan")
    given = predictions({"text": [0.4, 0.5, nan], "audio": [0.1, 0.1, 0.1]})
    spans = contradicts("text", None, None)
    spans[1] = [Span("text", "shuffled", 0, 2)]
    assert conflict_auroc(given, spans)["text"] == 0.0
    assert conflict_auroc(given, [[], spans[1], []]) == {}
    assert conflict_auroc(predictions({"text": [0.4, nan]}), contradicts("text", None))["text"] is None
    assert conflict_auroc(dataclasses.replace(given, conflict_probabilities={}), spans) == {}
    with pytest.raises(DataError, match="3 predictions and 1 lists"):
        conflict_auroc(given, [[]])


def test_the_table_holds_every_seed_and_an_interval() -> None:
    rng = np.random.default_rng(0)
    where = rng.random(120) < 0.2
    spans = contradicts(*["text" if here else None for here in where])
    videos = tuple(f"v{i // 3}" for i in range(120))
    seeds = [
        predictions({"text": where * 0.3 + rng.random(120) / 2, "audio": rng.random(120) / 9}, videos) for _ in range(2)
    ]
    table = conflict_table(seeds, spans)
    assert set(table) == {"text", "any"}
    assert table["text"]["per_seed"] == [conflict_auroc(one, spans)["text"] for one in seeds]
    low, high = table["text"]["ci95"]
    assert low < table["text"]["mean"] < high
    assert (
        conflict_table([predictions({"text": [0.4, 0.1]}, ("v", "v"))], contradicts("text", None))["text"]["ci95"]
        is None
    )


def test_who_is_said_to_contradict() -> None:
    assert contradicting({"text": 0.2, "audio": 0.51}) == ("audio",)
    assert contradicting({"text": 0.4, "audio": 0.5}) == contradicting({}) == ()


def test_doubts_go_with_the_predictions_and_into_their_file(store: Store, encoder: str, tmp_path) -> None:
    trained = tiny.build("mecam", store, encoder, used=True)
    data = trained.dataset(store)
    found = predict(trained.model, data, trained.collator, size=4)
    assert set(found.conflict_probabilities) == set(trained.model.reads)
    whole = np.stack(list(found.conflict_probabilities.values()))
    present = np.array(
        [[bool(u.tokens) if m == TEXT else m in u.streams for u in data] for m in found.conflict_probabilities]
    )
    np.testing.assert_array_equal(np.isnan(whole), ~present)
    assert (np.nansum(whole, axis=0) < 1).all()
    assert np.nanmax(whole) > 0
    with torch.inference_mode():
        output = trained.model(trained.collator([data[0]]))
    for i, m in enumerate(trained.model.reads):
        if m in data[0].streams:
            assert found.conflict_probabilities[m][0] == pytest.approx(float(output.extra["doubt"][0, i]), abs=1e-5)
    write_predictions(tmp_path / "p.npz", found)
    again = read_predictions(tmp_path / "p.npz")
    for m, doubt in found.conflict_probabilities.items():
        np.testing.assert_array_equal(again.conflict_probabilities[m], doubt)


def test_models_that_do_not_ask_have_no_doubts(store: Store, encoder: str) -> None:
    asks_not = tiny.build("mecam", store, encoder, filter__conflict=0.0)
    assert predict(asks_not.model, asks_not.dataset(store), asks_not.collator).conflict_probabilities == {}
    peer = tiny.build("late_fusion", store, encoder)
    assert predict(peer.model, peer.dataset(store), peer.collator).conflict_probabilities == {}
    asks = tiny.build("mecam", store, encoder)
    alone = asks.dataset([Utterance(id="a", text="the film")])
    assert predict(asks.model, alone, asks.collator).conflict_probabilities == {}, "one voice alone contradicts nobody"


def test_the_report_shows_it_and_leaves_it_out_where_it_is_not_known(tmp_path) -> None:
    run = fake_run.make_run(tmp_path / "run")
    assert 'id="conflict"' not in write_report(run).read_text("utf-8")
    metrics = json.loads((run / "metrics.json").read_text("utf-8"))
    entry = {"mean": 0.754321, "std": 0.01, "ci95": [0.7, 0.8], "per_seed": [0.75]}
    metrics["conflict"] = {"audio": entry, "any": {**entry, "mean": 0.9}}
    (run / "metrics.json").write_text(json.dumps(metrics), "utf-8")
    section = write_report(run).read_text("utf-8").partition('<section id="conflict">')[2].partition("</section>")[0]
    assert "Does the model notice which modality contradicts?" in section
    assert "audio" in section
    assert "0.75" in section
