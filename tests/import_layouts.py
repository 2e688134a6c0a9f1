"""Write every layout that can be imported, small in number and true in dimensions, from one truth."""

import csv
import io
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np


@dataclass
class Clip:
    """One utterance as it should come out of the store (but for −inf, which comes out as NaN)."""

    video: str
    clip: str
    split: str
    label: float
    text: str
    streams: dict = field(default_factory=dict)
    emotions: tuple = ()
    unimodal: dict = field(default_factory=dict)

    @property
    def id(self):
        return f"{self.video}_{self.clip}"


def make_clips(widths, longest, *, counts=(4, 2, 3), seed=0, same_length=False, scale=3.0):
    """Clips with ragged streams, among them an interior zero row, a zero row at each end, −inf and NaN,
    an absent modality and a full-length sequence."""
    rng = np.random.default_rng(seed)
    clips = []
    for split, count in zip(("train", "valid", "test"), counts, strict=True):
        for _ in range(count):
            index = len(clips)
            words = int(rng.integers(2, min(longest.values()) + 1))
            clip = Clip(
                video=f"-v{index // 3}_x", clip=str(index % 3 + 1), split=split,
                label=float(np.float32(rng.uniform(-scale, scale))),
                text=" ".join(f"word{n}" for n in range(words)),
                emotions=tuple(float(np.float32(v)) for v in rng.uniform(0, 3, 6)),
            )  # fmt: skip
            for modality, width in widths.items():
                rows = words if same_length else int(rng.integers(1, longest[modality] + 1))
                clip.streams[modality] = rng.standard_normal((rows, width)).astype(np.float32)
            clips.append(clip)
    audio = [clip.streams["audio"] for clip in clips]
    clips[0].streams["audio"] = np.concatenate([audio[0][:1], 0 * audio[0][:1], audio[0][:1], audio[0][:1]])
    clips[1].streams["audio"][0, 2] = -np.inf
    clips[1].streams["audio"][-1, 0] = np.nan
    if same_length:
        for modality in widths:
            clips[0].streams[modality] = np.resize(clips[0].streams[modality], (4, widths[modality])).copy()
        clips[0].streams["audio"][1:3] = 0
        clips[0].text = "word0 word1 word2 word3"
    else:
        clips[2].streams["vision"] = clips[2].streams["vision"][:0]
    return clips


def pad(arrays, length, width, left, dtype=np.float32):
    out = np.zeros((len(arrays), length, width), dtype)
    for row, array in zip(out, arrays, strict=True):
        if len(array):
            row[length - len(array) :] = array if left else row[length - len(array) :]
            if not left:
                row[: len(array)] = array
    return out


def by_split(clips):
    return {split: [clip for clip in clips if clip.split == split] for split in ("train", "valid", "test")}


def mmsa(clips, longest, widths, *, lengths=True, text_width=768, tokens=50, unimodal=False):
    content = {}
    for split, part in by_split(clips).items():
        labels = np.array([clip.label for clip in part])
        content[split] = {
            "raw_text": np.array([clip.text for clip in part]),
            "id": np.array([f"{clip.video}$_${clip.clip}" for clip in part]),
            "text": np.ones((len(part), tokens, text_width), np.float32),
            "text_bert": np.ones((len(part), 3, tokens), np.int64),
            "regression_labels": labels,
            "classification_labels": np.sign(labels).astype(np.int64) + 1,
            "annotations": np.array(["Positive" if label > 0 else "Negative" for label in labels]),
        }
        for modality in ("audio", "vision"):
            streams = [clip.streams[modality] for clip in part]
            content[split][modality] = pad(streams, longest[modality], widths[modality], left=False)
            if lengths:
                content[split][f"{modality}_lengths"] = [len(rows) for rows in streams]
        if unimodal:
            for name, letter in (("text", "T"), ("audio", "A"), ("vision", "V")):
                content[split][f"regression_labels_{letter}"] = np.array([clip.unimodal[name] for clip in part])
    return content


def mult(clips, longest, widths, *, byte_ids):
    content = {}
    for split, part in by_split(clips).items():
        if byte_ids:
            ids = np.array([[clip.id.encode(), b"0.5", b"1.5"] for clip in part])
        else:
            ids = np.array([[clip.video, clip.clip, str(float(clip.clip) + 0.75)] for clip in part])
        content[split] = {
            "id": ids,
            "labels": np.array([[[clip.label]] for clip in part], np.float64 if byte_ids else np.float32),
            **{m: pad([clip.streams[m] for clip in part], longest[m], widths[m], left=True) for m in widths},
        }
    return content


def label_csv(path: Path, clips, *, columns=("video_id", "clip_id", "text", "label", "mode")):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for clip in clips:
            row = {
                "video_id": clip.video, "clip_id": clip.clip, "text": clip.text, "label": repr(clip.label),
                "mode": clip.split, "annotation": "Neutral", "start": clip.clip, "end": float(clip.clip) + 0.75,
            }  # fmt: skip
            writer.writerow([row[column] for column in columns])


def segments(clips, layout):
    def parts(clip):
        words, vision, audio = clip.text.split(), clip.streams["vision"], clip.streams["audio"]
        if layout == "misa":
            return (np.arange(len(words)), vision, audio, words)
        if layout == "mmim":
            return ([], vision, audio, words, np.int64(len(vision)), np.int64(len(audio)))
        return (np.array(words), vision, audio)

    def label(clip):
        return np.array([[clip.label, *clip.emotions]] if layout != "mmim" else [[clip.label]], np.float32)

    return {split: [(parts(c), label(c), c.id) for c in part] for split, part in by_split(clips).items()}


def lmf(clips, widths):
    return {
        split.encode(): {
            b"covarep": np.concatenate([clip.streams["audio"][-1:] for clip in part]).astype(np.float64),
            b"facet": np.concatenate([clip.streams["vision"][-1:] for clip in part]).astype(np.float64),
            b"glove": pad([clip.streams["text"] for clip in part], 20, widths["text"], left=True, dtype=np.float64),
            b"label": np.array([[clip.label] for clip in part]),
        }
        for split, part in by_split(clips).items()
    }


def csd(path: Path, name: str, entries: dict) -> Path:
    """Entries: key → (features, intervals)."""
    with h5py.File(path, "w") as file:
        data = file.create_group(f"{name}/data")
        file.create_group(f"{name}/metadata")
        for key, (features, intervals) in entries.items():
            data.create_dataset(f"{key}/features", data=features)
            data.create_dataset(f"{key}/intervals", data=np.asarray(intervals, np.float64))
    return path


class _Python2Pickler(pickle._Pickler):
    """Writes byte strings as Python 2 wrote its `str`."""

    dispatch = dict(pickle._Pickler.dispatch)  # noqa: RUF012

    def save_bytes(self, content):
        if len(content) < 256:
            self.write(b"U" + bytes([len(content)]) + content)
        else:
            self.write(b"T" + len(content).to_bytes(4, "little") + content)
        self.memoize(content)

    dispatch[bytes] = save_bytes


def python2(content) -> bytes:
    """A protocol-2 pickle as Python 2 and an old NumPy would have written it."""
    stream = io.BytesIO()
    _Python2Pickler(stream, 2).dump(content)
    return stream.getvalue().replace(b"cnumpy._core.", b"cnumpy.core.")


def expected(rows: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(rows), rows, np.nan).astype(np.float32)


def assert_streams(utterance, streams: dict, modalities: Sequence[str]):
    for modality in modalities:
        rows = expected(streams[modality])
        if len(rows) == 0:
            assert modality not in utterance.streams, (utterance.id, modality)
        else:
            held = utterance.streams[modality]
            assert held.shape == rows.shape, (utterance.id, modality)
            assert held.tobytes() == rows.tobytes(), (utterance.id, modality)
