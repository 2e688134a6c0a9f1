import dataclasses

import numpy as np
import pytest
import torch

import tiny
from mecam.batch import Batch, Stream
from mecam.config import AugmentationConfig
from mecam.data.collate import Collator, ViewOptions, batches
from mecam.data.datasets import Dataset
from mecam.data.store import Store
from mecam.data.tokens import PretrainedTokenizer
from mecam.errors import DataError
from mecam.task import Classes, Labels
from mecam.types import TEXT, Span, Utterance

TASK = tiny.TASKS["regression"]


@pytest.fixture
def tokenizer(encoder: str) -> PretrainedTokenizer:
    return PretrainedTokenizer(encoder, max_tokens=12)


def audio(*lengths: int | None) -> list[Utterance]:
    """Utterances whose audio rows count up from 1; None is absent."""
    return [
        Utterance(
            id=str(i),
            streams={} if n is None else {"audio": np.arange(1, 1 + n * 2, dtype=np.float32).reshape(n, 2)},
            label=float(i),
        )
        for i, n in enumerate(lengths)
    ]


def test_padding_on_the_right_to_the_longest() -> None:
    stream = Collator(TASK, {"audio": 2})(audio(3, 1, None, 0)).streams["audio"]
    assert stream.values.shape == (4, 3, 2)
    assert stream.lengths.tolist() == [3, 1, 0, 0]
    assert stream.mask.tolist() == [[True] * 3, [True, False, False], [False] * 3, [False] * 3]
    assert stream.values[0].flatten().tolist() == [1, 2, 3, 4, 5, 6]
    assert stream.values[1].flatten().tolist() == [1, 2, 0, 0, 0, 0]
    assert (stream.values[2:] == 0).all()


def test_absent_everywhere_still_has_one_row() -> None:
    batch = Collator(TASK, {"audio": 2, "vision": 5})(audio(None, None))
    assert batch.streams["audio"].values.shape == (2, 1, 2)
    assert batch.streams["vision"].values.shape == (2, 1, 5)
    assert not batch.streams["audio"].mask.any()


def test_a_missing_row_is_masked_but_counts_as_length() -> None:
    (utterance,) = audio(3)
    utterance.streams["audio"][1] = np.nan
    marked = dataclasses.replace(utterance, injected=(Span("audio", "burst", 0, 2),))
    stream = Collator(TASK, {"audio": 2})([marked]).streams["audio"]
    assert stream.mask.tolist() == [[True, False, True]]
    assert stream.lengths.tolist() == [3]
    assert stream.values.isfinite().all()
    assert stream.injected is not None
    assert stream.injected.tolist() == [[True, False, False]]


def tokenized(tokenizer: PretrainedTokenizer, *texts: str | None, **changes: object) -> list[Utterance]:
    plain = [Utterance(id=str(i), text=text, label=0.0, **changes) for i, text in enumerate(texts)]  # type: ignore[arg-type]
    return list(Dataset(plain, task=TASK, tokenizer=tokenizer))


def test_tokens_carry_their_words_and_injected_words_their_tokens(tokenizer: PretrainedTokenizer) -> None:
    spans = (Span(TEXT, "missing", 1, 2), Span("audio", "burst", 0, 9))
    batch = Collator(TASK, {}, tokenizer)(tokenized(tokenizer, "the goodly film", None, "was", injected=spans))
    stream = batch.streams[TEXT]
    v = tiny.VOCABULARY.index
    assert stream.values.tolist() == [
        [2, v("the"), v("good"), v("##ly"), v("film"), 3],
        [0] * 6,
        [2, v("was"), 3, 0, 0, 0],
    ]
    assert stream.words is not None
    assert stream.words.tolist() == [[-1, 0, 1, 1, 2, -1], [-1] * 6, [-1, 0, -1, -1, -1, -1]]
    assert stream.lengths.tolist() == [6, 0, 3]
    assert stream.mask.sum(dim=1).tolist() == [6, 0, 3]
    assert stream.injected is not None
    assert stream.injected.tolist() == [[False, False, True, True, False, False], [False] * 6, [False] * 6]


def test_blank_text_is_an_absent_modality(tokenizer: PretrainedTokenizer) -> None:
    stream = Collator(TASK, {}, tokenizer)(tokenized(tokenizer, "", "  ", None)).streams[TEXT]
    assert not stream.mask.any()


def test_labels_of_every_task() -> None:
    assert TASK.encode([1, -0.5]).tolist() == [1, -0.5]
    classes = Classes(("a", "b"))
    assert classes.encode(["b", "a"]).tolist() == [1, 0]
    several = Labels(("a", "b", "c"))
    assert several.encode([{"a": 2.0, "b": 0.0}, {"c": 0.3}]).tolist() == [[1, 0, 0], [0, 0, 1]]
    for task, label in ((TASK, "good"), (TASK, None), (classes, "z"), (several, 3.0)):
        with pytest.raises(DataError):
            task.encode([label])


def test_unlabelled_utterances_give_no_targets_and_unimodal_scores_may_be_missing() -> None:
    one, two = audio(1, 1)
    collator = Collator(TASK, {"audio": 2})
    assert collator([one, dataclasses.replace(two, label=None)]).targets is None
    targets = collator([dataclasses.replace(one, unimodal={"text": 0.5}), two]).targets
    assert targets is not None
    assert targets.unimodal["text"][0] == 0.5
    assert targets.unimodal["text"][1].isnan()


def epoch(dataset: Dataset, collator: Collator, seed: int | None, **options: object) -> list[Batch]:
    return list(batches(dataset, collator, 4, shuffle_seed=seed, **options))  # type: ignore[arg-type]


def test_every_utterance_once_per_epoch_in_an_order_of_the_seed(store: Store, encoder: str) -> None:
    trained = tiny.build("mecam", store, encoder)
    everything, collator = tiny.dataset(trained, store), trained.collator
    for seed in (None, 1, 2):
        seen = [name for batch in epoch(everything, collator, seed) for name in batch.ids]
        assert sorted(seen) == sorted(store.column("id"))
    order = [[batch.ids for batch in epoch(everything, collator, seed)] for seed in (1, 1, 2)]
    assert order[0] == order[1] != order[2]
    for batch in epoch(everything, collator, 1):
        assert [store.column("id")[i] for i in batch.index.tolist()] == list(batch.ids)


def test_batches_hold_utterances_of_similar_length() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 256).tolist()
    dataset = Dataset(audio(*lengths), task=TASK)
    dataset.sizes = lambda: np.array(lengths)  # type: ignore[method-assign]
    collator = Collator(TASK, {"audio": 2})
    padded = sum(batch.streams["audio"].mask.numel() for batch in batches(dataset, collator, 16, shuffle_seed=1))
    assert padded < 1.3 * sum(lengths)


@pytest.mark.parametrize("processes", [2, 3, 50])
def test_processes_share_an_epoch(store: Store, encoder: str, processes: int) -> None:
    """Each takes as many batches as any other, together all of them."""
    trained = tiny.build("mecam", store, encoder)
    everything, collator = tiny.dataset(trained, store), trained.collator
    shares = [[b.ids for b in epoch(everything, collator, 1, part=(i, processes))] for i in range(processes)]
    assert len({len(share) for share in shares}) == 1
    alone = {batch.ids for batch in epoch(everything, collator, 1)}
    assert {ids for share in shares for ids in share} == alone


def words_of(stream: Stream, wanted: torch.Tensor) -> set[tuple[int, ...]]:
    """(utterance, place, token) of the wanted tokens that belong to words."""
    assert stream.words is not None
    rows = (wanted & (stream.words >= 0)).nonzero()
    return {(i, int(stream.words[i, t]), int(stream.values[i, t])) for i, t in rows.tolist()}


def test_a_view_is_the_same_batch_with_known_injections(store: Store, encoder: str) -> None:
    trained = tiny.build("mecam", store, encoder)
    train = tiny.dataset(trained, store, store.split("train"))
    plain = epoch(train, trained.collator, 1)
    with_views = epoch(train, trained.collator, 1, views=ViewOptions(1.0))
    again = epoch(train, trained.collator, 1, views=ViewOptions(1.0))
    other = epoch(train, trained.collator, 2, views=ViewOptions(1.0))
    differing = 0
    for one, two, three in zip(plain, with_views, again, strict=True):
        assert one.ids == two.ids
        assert two.view is not None
        assert three.view is not None
        assert two.view.ids == two.ids
        torch.testing.assert_close(two.view.targets.value, two.targets.value)  # type: ignore[union-attr]
        for modality, clean in one.streams.items():
            steps, stream = clean.mask.shape[1], two.streams[modality]
            torch.testing.assert_close(stream.mask[:, :steps], clean.mask)
            torch.testing.assert_close(stream.values[:, :steps], clean.values)
            assert not stream.mask[:, steps:].any()
            seen = two.view.streams[modality]
            assert seen.values.shape == stream.values.shape
            torch.testing.assert_close(seen.values, three.view.streams[modality].values)
            assert seen.injected is not None
            if modality == TEXT:
                assert words_of(seen, ~seen.injected) <= words_of(stream, stream.mask)
                continue
            changed = (seen.values != stream.values).any(dim=2) & seen.mask & stream.mask
            assert not (changed & ~seen.injected).any(), "a change that is not on record"
            differing += int(changed.sum())
    assert differing > 50
    assert any(not torch.equal(a.index, b.index) for a, b in zip(with_views, other, strict=True))


def test_a_text_longer_than_the_limit_can_have_a_view(encoder: str) -> None:
    """What is read of a long text is what is corrupted."""
    tokenizer = PretrainedTokenizer(encoder, max_tokens=12)
    long = [Utterance(id=str(i), text="the film was good " * 9, label=(-1.0) ** i) for i in range(8)]
    dataset = Dataset(long, task=TASK, tokenizer=tokenizer)
    for seed in range(5):
        (batch, _) = epoch(dataset, Collator(TASK, {}, tokenizer), seed, views=ViewOptions(1.0))
        assert batch.view is not None
        assert batch.view.streams[TEXT].injected.any()  # type: ignore[union-attr]


def test_augmentation_is_drawn_anew_and_leaves_labels_and_views_alone(store: Store, encoder: str) -> None:
    trained = tiny.build("mecam", store, encoder)
    train = tiny.dataset(trained, store, store.split("train"))
    missing = AugmentationConfig(missing=0.5)
    plain = epoch(train, trained.collator, 1, views=ViewOptions(0.5))
    spoilt = epoch(train, trained.collator, 1, views=ViewOptions(0.5), augmentation=missing)
    again = epoch(train, trained.collator, 1, views=ViewOptions(0.5), augmentation=missing)
    other = epoch(train, trained.collator, 2, augmentation=missing)
    touched = {"spoilt": 0, "other": 0, "all": 0}
    for one, two, three in zip(plain, spoilt, again, strict=True):
        assert one.ids == two.ids
        torch.testing.assert_close(one.targets.value, two.targets.value)  # type: ignore[union-attr]
        for modality in one.streams:
            torch.testing.assert_close(two.streams[modality].values, three.streams[modality].values)
            torch.testing.assert_close(one.view.streams[modality].values, two.view.streams[modality].values)  # type: ignore[union-attr]
        touched["spoilt"] += int(two.streams[TEXT].injected.any(dim=1).sum())  # type: ignore[union-attr]
        touched["all"] += len(two)
    assert 0.25 * touched["all"] < touched["spoilt"] < 0.7 * touched["all"]
    first = {name: row for b in spoilt for name, row in zip(b.ids, b.streams["audio"].values, strict=True)}
    second = {name: row for b in other for name, row in zip(b.ids, b.streams["audio"].values, strict=True)}
    assert any(not torch.equal(first[name][: len(row)], row[: len(first[name])]) for name, row in second.items())


def test_no_augmentation_is_the_plain_epoch(store: Store, encoder: str) -> None:
    trained = tiny.build("mecam", store, encoder)
    train = tiny.dataset(trained, store, store.split("train"))
    plain, off = (epoch(train, trained.collator, 1, augmentation=a) for a in (None, AugmentationConfig()))
    for one, two in zip(plain, off, strict=True):
        for modality, stream in one.streams.items():
            torch.testing.assert_close(stream.values, two.streams[modality].values)


def test_modality_dropout_never_takes_the_last(store: Store, encoder: str) -> None:
    trained = tiny.build("mecam", store, encoder)
    train = tiny.dataset(trained, store, store.split("train"))
    for batch in epoch(train, trained.collator, 1, augmentation=AugmentationConfig(absent=1.0)):
        there = torch.stack([stream.mask.any(dim=1) for stream in batch.streams.values()])
        assert (there.sum(dim=0) == 1).all()
