import dataclasses

import numpy as np
import pytest

import tiny
from mecam.data.datasets import Dataset
from mecam.data.store import Store
from mecam.errors import DataError
from mecam.task import Classes, Labels, Regression, Task
from mecam.types import Utterance


def labelled(task: Task, *labels: object) -> Dataset:
    return Dataset([Utterance(id=str(i), label=label) for i, label in enumerate(labels)], task=task)  # type: ignore[arg-type]


def test_a_split_in_the_order_of_the_store(store: Store, encoder: str) -> None:
    trained = tiny.build("mecam", store, encoder)
    indices = store.split("valid")
    part = tiny.dataset(trained, store, indices)
    assert part.ids == tuple(store[int(i)].id for i in indices)
    assert [u.id for u in part] == list(part.ids)
    assert part.labels == [store[int(i)].label for i in indices]
    for utterance in part:
        assert (utterance.tokens is None) == (not utterance.text)
        if utterance.text:
            assert len(utterance.tokens or ()) == len(utterance.text.split())


def test_a_video_stands_for_itself_where_none_is_named() -> None:
    dataset = Dataset([Utterance(id="a"), Utterance(id="b", video="v")], task=Regression())
    assert dataset.videos == ("a", "v")


def test_partners_feel_otherwise() -> None:
    scores = labelled(Regression(), 2.0, -1.0, 0.1, -3.0, 0.5)
    assert [p.tolist() for p in scores.partners()] == [[1, 3], [0, 4], [], [0, 4], [1, 3]]
    shifted = labelled(Regression(low=1.0, high=5.0), 5.0, 1.0, 3.0)
    assert [p.tolist() for p in shifted.partners()] == [[1], [0], []]
    classes = labelled(Classes(("a", "b", "c")), "a", "b", "a", "c")
    assert [p.tolist() for p in classes.partners()] == [[1, 3], [0, 2, 3], [1, 3], [0, 1, 2]]
    sets = labelled(Labels(("a", "b")), {"a": 1.0}, {"b": 1.0}, {"a": 1.0})
    assert [p.tolist() for p in sets.partners()] == [[1], [0, 2], [1]]


def test_labels_are_required_where_it_matters() -> None:
    with pytest.raises(DataError, match="valid split is empty"):
        labelled(Regression()).require_labels("valid")
    with pytest.raises(DataError, match="1 of 2 utterances have no label"):
        labelled(Regression(), 1.0, None).require_labels("train")
    labelled(Regression(), 1.0, 0.0).require_labels("train")


def test_sizes_are_lengths(store: Store, encoder: str) -> None:
    reading = tiny.dataset(tiny.build("text_only", store, encoder), store, store.split("test"))
    assert reading.sizes().tolist() == [sum(map(len, u.tokens or ())) for u in reading]
    task = tiny.TASKS["regression"]
    plain = Dataset(store, store.split("test"), task=task)
    assert plain.sizes().tolist() == [max(map(len, u.streams.values())) for u in plain]
    in_memory = Dataset([dataclasses.replace(u, text=None) for u in plain], task=task)
    assert in_memory.sizes().shape == (len(plain),)
    assert np.issubdtype(in_memory.sizes().dtype, np.integer)
