"""For every importer small files that it reads, for tests that damage them."""

import collections
import io
import pickle
from pathlib import Path

import joblib
import numpy as np
import torch

from import_layouts import csd, label_csv, lmf, make_clips, mmsa, mult, pad, python2, segments


def npz(arrays: dict) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def tensors(content: dict) -> dict:
    """The same with tensors for features, in an OrderedDict, as PyTorch's users save them."""
    return collections.OrderedDict(
        (split, {key: torch.from_numpy(value) if key in ("audio", "vision") else value for key, value in part.items()})
        for split, part in content.items()
    )


def saved(content: dict, *, zipped: bool = True) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=zipped)
    return stream.getvalue()


def dumped(content: dict) -> bytes:
    stream = io.BytesIO()
    joblib.dump(content, stream)
    return stream.getvalue()


def seeds(folder: Path) -> dict[str, list[bytes]]:
    """For every importer files that it reads; the first one is damaged, the others are joined to it."""
    widths, longest = {"audio": 3, "vision": 2, "text": 4}, {"audio": 5, "vision": 6, "text": 5}
    clips = make_clips(widths, longest)
    aligned = make_clips(widths, longest, same_length=True)
    table = folder / "table"
    label_csv(table, clips, columns=("video_id", "clip_id", "text", "label", "annotation", "mode", "start", "end"))
    labels = table.read_bytes()
    ids = np.array([clip.id for clip in clips])
    audio = pad([clip.streams["audio"] for clip in clips], 5, 3, left=True)
    lines = [f"{clip.id},{row[0]!r},{row[1]!r}" for clip in clips for row in clip.streams["vision"].tolist()]
    times = np.array([[0, 1], [1, 2.5]])
    csd(folder / "l", "All Labels", {"v1": (np.array([[1.0] * 7, [-2.0] * 7], np.float32), times)})
    csd(folder / "w", "words", {"v1": (np.array([[b"so"], [b"good"]]), times)})
    csd(folder / "f", "COVAREP", {"v1": (np.ones((2, 3), np.float32), times)})
    sequences = {name: (folder / name).read_bytes() for name in "lwf"}
    meld = b"Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID\n1,Oh,Joey,joy,positive,0,0\n"
    words = b"id,word,start,end\n" + "\n".join(f"{name},so,0.5,1.0" for name in ids).encode()
    split_arrays = {"audio_train": audio, "y_train": np.ones(9), "audio_test": audio[:2], "y_test": np.ones(2)}
    spanish = labels.decode().replace(",", ";").replace(".", ",").encode("utf-16")
    indexed = "\n".join([",id,x,y", *(f"{index},{line}" for index, line in enumerate(lines))]).encode()
    content = mmsa(clips, longest, widths, text_width=4, tokens=5)
    return {
        "MMSA": [pickle.dumps(content)],
        "MMSA-FET": [pickle.dumps({**content, "config": {"audio": {"tool": "librosa"}}}, 5)],
        "MMSA of tensors": [pickle.dumps(tensors(content), 4)],
        "MMSA by torch.save": [saved(tensors(content))],
        "MMSA by torch.save, old": [saved(tensors(content), zipped=False)],
        "MMSA by joblib": [dumped(content)],
        "MMSA, old protocol": [pickle.dumps(mmsa(clips, longest, widths, text_width=4, tokens=5), 0)],
        "MulT and table": [pickle.dumps(mult(clips, longest, widths, byte_ids=True), 2), labels],
        "MulT, MOSEI": [pickle.dumps(mult(clips, longest, widths, byte_ids=False))],
        "MISA": [pickle.dumps(segments(aligned, "misa")["train"])],
        "MMIM cache": [pickle.dumps(segments(clips, "mmim")["train"])],
        "MAG-BERT": [pickle.dumps(segments(aligned, "mag"))],
        "LMF": [python2(lmf(aligned, widths))],
        "label table": [labels],
        "label table, Excel": [spanish],
        "MELD table": [meld],
        "word table": [words, labels],
        "feature table, pandas": [indexed, labels],
        "feature table": [("id,x,y\n" + "\n".join(lines)).encode(), labels],
        "NPZ by id": [npz({"id": ids, "audio": audio}), labels],
        "NPZ by split": [npz(split_arrays)],
        "CSD labels": [sequences["l"], sequences["w"], sequences["f"]],
        "CSD words": [sequences["w"], sequences["l"]],
        "CSD features": [sequences["f"], sequences["l"]],
    }
