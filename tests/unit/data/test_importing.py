"""What goes in comes out: every layout, at true dimensions and dtypes, and what is wrong is counted."""

from pathlib import Path

import numpy as np
import pytest

from mecam.data.importing import import_data
from mecam.data.store import Store

REAL = Path(__file__).parents[4] / "shared" / "data"


@pytest.mark.skipif(not REAL.is_dir(), reason="the real data are not beside the repository")
def test_mosi_comes_in_as_text_words_and_audio(tmp_path):
    report = import_data([REAL / "mosi"], tmp_path / "store")
    store = Store(tmp_path / "store", verify=True)
    assert report.splits == {"train": 1284, "valid": 229, "test": 686}
    assert set(store.specs) == {"audio"}
    assert store.specs["audio"].width == 73
    source = np.load(REAL / "mosi" / "audio_utterance.npz")
    expected = dict(zip(source["id"].tolist(), source["audio"], strict=True))
    assert all((utterance.streams["audio"][0] == expected[utterance.id]).all() for utterance in store)
    assert (store.task.kind, store.task.low, store.task.high) == ("regression", -3.0, 3.0)
    first = store[0]
    assert (first.id, first.video, first.text) == ("03bSnISJMiM_1", "03bSnISJMiM", "ANYHOW IT WAS REALLY GOOD")
    assert [(word.text, word.start) for word in first.words[:2]] == [("anyhow", 53.551), ("it", 54.808)]
    assert store.manifest["provenance"]["files"][0]["name"] == "audio_utterance.npz"
    assert str(REAL) not in (tmp_path / "store" / "manifest.json").read_text()
