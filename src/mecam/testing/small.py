"""Small things that behave like the real ones: a text encoder, corpora of every task, a configured model.

What the contract of a model is tried on, and most tests.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from mecam.config import DataConfig, TrainingConfig, decode
from mecam.data.datasets import Dataset
from mecam.data.normalise import Normaliser
from mecam.data.store import Store, StoreWriter
from mecam.models.base import Model
from mecam.models.checkpoint import Checkpoint
from mecam.models.inputs import Inputs
from mecam.models.registry import MODELS
from mecam.models.trained import Trained, build_model
from mecam.nn.text import quiet
from mecam.task import Classes, Labels, Regression, Task
from mecam.types import TEXT, FeatureSpec, Span, Utterance

__all__ = [
    "ALL",
    "BAD",
    "GOOD",
    "PLAIN",
    "TASKS",
    "VOCABULARY",
    "WIDTHS",
    "build",
    "collate",
    "dataset",
    "inputs_of",
    "label_of",
    "make_encoder",
    "options_of",
    "sentence",
    "small_options",
    "trainable",
    "training",
    "utterances",
    "write_store",
]

GOOD = ("superb", "great", "good", "fine")
BAD = ("awful", "bad", "poor", "dull")
PLAIN = ("a", "the", "it", "was", "film", "hotel", "food", "and", "very", "not", "really", "i", "saw", "them")
VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *GOOD, *BAD, *PLAIN, "##ly", "##ing", "##er")

TASKS = {
    "regression": Regression(),
    "classes": Classes(("anger", "calm", "joy")),
    "multilabel": Labels(("happy", "sad")),
}
WIDTHS = {"audio": 4, "vision": 3, "physio": 2}
ALL = (TEXT, *WIDTHS)


def make_encoder(folder: Path) -> str:
    """A two-layer BERT with random weights and a word-piece tokenizer, as `transformers` saves them."""
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY), encoding="utf-8")
    tokenizer = transformers.BertTokenizerFast  # type: ignore[attr-defined]
    tokenizer(vocab=str(folder / "vocab.txt"), do_lower_case=True, model_max_length=64).save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.2,
    )
    with torch.random.fork_rng(), quiet():
        torch.manual_seed(0)
        transformers.BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return str(folder)


def label_of(task: Task, feeling: float) -> Any:
    """A feeling in [-1, 1] as a label of the task."""
    if task.is_score:
        return round(feeling * task.high, 2)
    if not task.several:
        return task.names[int(np.digitize(feeling, [-0.4, 0.4]))]
    return {"happy": float(feeling > -0.2), "sad": float(feeling < 0.2)}


def utterances(
    task: Task, count: int = 30, *, modalities: Sequence[str] = ALL, holes: bool = True, seed: int = 0
) -> list[Utterance]:
    """Utterances whose label shows in every modality.

    Args:
        task: kind of label.
        count: how many; three fifths are train, one valid, one test, disjoint in video.
        modalities: those of the corpus.
        holes: let modalities be absent here and there, rows be missing, and record some injected spans.
        seed: of everything.
    """
    rng = np.random.default_rng(seed)
    result = []
    for i in range(count):
        feeling = float(rng.uniform(-1, 1))
        absent = {modalities[i // 4 % len(modalities)]} if holes and i % 4 == 3 else set()
        streams = {}
        for modality in modalities:
            if modality != TEXT and modality not in absent:
                rows = rng.standard_normal((int(rng.integers(1, 12)), WIDTHS[modality])) + feeling
                if holes and len(rows) > 2 and i % 3 == 0:
                    rows[1] = np.nan
                    rows[2, 0] = np.nan
                streams[modality] = rows.astype(np.float32)
        text = sentence(feeling, rng) if TEXT in modalities and TEXT not in absent else None
        injected = []
        if holes and i % 2:
            injected = [Span(m, "burst", 0, max(1, len(rows) // 2)) for m, rows in streams.items()]
            injected += [Span(TEXT, "missing", 1, 2)] if text else []
        video = i // 2
        result.append(
            Utterance(
                id=f"v{video}_{i}",
                split=("train", "train", "train", "valid", "test")[video % 5],
                video=f"v{video}",
                text=text,
                streams=streams,
                label=label_of(task, feeling),
                unimodal={m: round(3 * feeling, 2) for m in modalities if m not in absent and i % 5 != 2},
                injected=tuple(injected),
            )
        )
    return result


def sentence(feeling: float, rng: np.random.Generator) -> str:
    """Some words, more of them good the better the feeling."""
    words = [
        str(rng.choice(GOOD if rng.uniform(-1, 1) < feeling else BAD)) if rng.random() < 0.5 else str(rng.choice(PLAIN))
        for _ in range(int(rng.integers(2, 9)))
    ]
    return " ".join([*words, "really", "acting"])


def write_store(
    path: Path, task: Task, content: Sequence[Utterance], *, widths: Mapping[str, int] | None = None
) -> Store:
    """A store of these utterances, whose streams are of these widths: `WIDTHS`."""
    present = {m for u in content for m in u.streams}
    given = WIDTHS if widths is None else widths
    specs = {m: FeatureSpec(w, extractor="test") for m, w in given.items() if m in present}
    with StoreWriter(path, name="tiny", task=task, specs=specs) as writer:
        for utterance in content:
            writer.add(utterance)
    return Store(path)


def small_options(name: str, encoder: str, **changes: Any) -> Any:
    """The model's configuration at sizes that a test can afford; `changes` by dotted names with `__` for dots."""
    kind, known = MODELS[name].config, options_of(name)
    sizes = {"encoder": encoder, "width": 16, "layers": 1, "heads": 2, "recurrent": 8, "joint": 16, "own": 8}
    sizes |= {"tokens": 2, "least_weight": 0.1, "rounds": 2, "fusion_layers": 1, "gated": 8, "window": 2, "words": 6}
    sizes |= {"text_width": 8, "hidden": 16, "memory": 8, "vertex": 8, "rank": 2}
    values: dict[str, Any] = {key: value for key, value in sizes.items() if key in known}
    if "dropout" in changes:  # all kinds of it
        changes = dict.fromkeys((key for key in known if key.endswith("dropout")), changes["dropout"]) | changes
    for key, value in changes.items():
        group, _, last = key.rpartition("__")
        if (group or key) in known:
            (values.setdefault(group, {}) if group else values)[last] = value
    return decode(kind, values, where="model")


def options_of(name: str) -> set[str]:
    """The names of a model's options."""
    return {item.name for item in dataclasses.fields(MODELS[name].config)}


def inputs_of(store: Store) -> Inputs:
    """What the store offers a model."""
    labels = [store.column("label")[i] for i in store.split("train")]
    prior = store.task.prior(store.task.encode(labels))
    unimodal = tuple(sorted({m for scores in store.column("unimodal") for m in scores or ()}))
    return Inputs(task=store.task, features=store.specs, raw_text=store.has_text, prior=prior, unimodal=unimodal)


def build(name: str, store: Store, encoder: str, *, seed: int = 1, used: bool = False, **changes: Any) -> Trained:
    """An untrained model with all that it needs to read the store.

    Args:
        name: in the registry.
        store: what it is built for.
        encoder: folder of its text encoder, where it has one.
        seed: of its weights.
        used: shake all weights, as training does: what starts at 0 or 1 hides what becomes of it.
        changes: options.
    """
    torch.manual_seed(seed)
    options, inputs, data = small_options(name, encoder, **changes), inputs_of(store), DataConfig()
    model, tokenizer = build_model(name, options, inputs, data)
    if used:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    normaliser = Normaliser.fit(store, store.split("train"), clip=data.clip, zero_rows_missing=data.zero_rows_missing)
    checkpoint = Checkpoint(name, options, inputs, data, normaliser.only(model.reads), calibration={})
    return Trained(model.eval(), checkpoint, tokenizer)


def dataset(trained: Trained, source: Any, indices: Any = None) -> Dataset:
    """Utterances or a store as the model reads them."""
    checkpoint = trained.checkpoint
    return Dataset(
        source,
        indices,
        task=checkpoint.inputs.task,
        normaliser=checkpoint.normaliser,
        tokenizer=trained.tokenizer,
    )


def collate(trained: Trained, source: Any) -> Any:
    """All of these utterances as one batch."""
    return trained.collator(list(dataset(trained, source)))


def training(**changes: Any) -> TrainingConfig:
    """A short training without surprises."""
    return decode(TrainingConfig, {"epochs": 2, "precision": "32", "learning_rate": 3e-3, **changes}, where="training")


def trainable(model: Model) -> list[str]:
    """Names of the parameters that learn."""
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]
