"""An exported model computed by ONNX Runtime, without PyTorch."""

import threading
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mecam.arrays import BatchArrays, OutputArrays, StreamArrays
from mecam.errors import ModelError
from mecam.models.checkpoint import ALLOW_ENCODER, Checkpoint, Preprocessor
from mecam.onnx_runtime import onnx_runtime
from mecam.prediction.exported import STANDARD, Exported, Files, inputs_of, read_exported
from mecam.threads import SMALL_UTTERANCES, available_cores
from mecam.types import Modality

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["OnnxBackend"]

Array = NDArray[Any]


class OnnxBackend:
    """An exported model in use, as a `mecam.models.backend.Backend`. Several threads may ask it at the same time.

    The network is loaded beside other work: whoever asks first waits for it. One thread computes an answer, so nothing
    spins or waits for a busy neighbour; a large batch is divided among as many threads as there are cores. Utterances
    of an int8 network are asked one by one: it rounds by the largest number of a batch, and an answer must not depend
    on the company of its utterance.

    Args:
        folder: from `mecam export`.
        allow_encoder: let the model name speech encoders that are fetched, or read from elsewhere on this machine.
        files: their names in the folder.

    Raises: ModelError if it cannot be used.
    """

    def __init__(self, folder: str | Path, *, allow_encoder: bool | None = None, files: Files = STANDARD) -> None:
        self._exported = read_exported(Path(folder), files)
        self.allow_encoder = ALLOW_ENCODER.get() if allow_encoder is None else allow_encoder
        self._network = _Network(self._exported)

    @property
    def checkpoint(self) -> Checkpoint:
        """As `Backend.checkpoint`."""
        return self._exported.preprocessor.checkpoint

    @property
    def preprocessor(self) -> Preprocessor:
        """As `Backend.preprocessor`."""
        return self._exported.preprocessor

    @property
    def card(self) -> Mapping[str, Any]:
        """How the export was made and checked."""
        return self._exported.card

    @property
    def reads(self) -> tuple[Modality, ...]:
        """As `Network.reads`."""
        return self.preprocessor.reads

    def run(self, batch: BatchArrays, *, total: int, details: bool = False) -> OutputArrays:
        """As `Network.run`."""
        parts = _divided(batch, 1 if self._exported.int8 else len(batch) if total <= SMALL_UTTERANCES else None)
        answers = self._network.ask([inputs_of(part, self.reads) for part in parts], alone=total <= SMALL_UTTERANCES)
        whole = {name: _joined([answer[name] for answer in answers]) for name in self._exported.outputs}
        return _output(whole, self.reads, details=details)

    def weights_fault(self) -> str:
        """As `Network.weights_fault`; the weights were finite when they were exported, and are unchanged."""
        return ""


class _Network:
    """The session of ONNX Runtime, which loads in a thread of its own from the moment that this is made."""

    def __init__(self, exported: Exported) -> None:
        self._exported = exported
        self._session: InferenceSession | None = None
        self._inputs: frozenset[str] = frozenset()
        self._error: Exception | None = None
        self._lock = threading.Lock()
        # No daemon: a program that ends while it loads has to wait, as the library cannot be stopped half-way.
        self._loading = threading.Thread(target=self._load, name="mecam-load")
        self._loading.start()

    def ask(self, questions: Sequence[dict[str, Array]], *, alone: bool) -> list[dict[str, Array]]:
        """Answers to batches, in this thread or in several."""
        session = self._ready()
        workers = 1 if alone else min(available_cores(), len(questions))
        if workers == 1:
            return [self._answer(session, question) for question in questions]
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(lambda question: self._answer(session, question), questions))

    def _answer(self, session: "InferenceSession", question: dict[str, Array]) -> dict[str, Array]:
        names = self._exported.outputs
        given = {name: values for name, values in question.items() if name in self._inputs}
        try:
            return dict(zip(names, session.run(list(names), given), strict=True))
        except Exception as error:  # whatever the library makes of a network that was not written by us
            what = " ".join(str(error).split())[:300]
            where = str(self._exported.network)
            raise ModelError(f"the network cannot answer: {what}", where=where, fix=self._exported.again) from error

    def _ready(self) -> "InferenceSession":
        self._loading.join()
        with self._lock:
            if self._session is None and self._error is None:  # a process that was forked while it loaded
                self._load()
        if self._error is not None:
            raise self._error
        assert self._session is not None
        return self._session

    def _load(self) -> None:
        path = self._exported.network
        try:
            self._session = _session(path)
            self._inputs = frozenset(given.name for given in self._session.get_inputs())
        except Exception as error:  # whatever the library makes of a network
            what = " ".join(str(error).split())[:300]
            self._error = ModelError(f"the network cannot be loaded: {what}", where=str(path), fix=self._exported.again)


def _session(path: Path) -> "InferenceSession":
    onnxruntime = onnx_runtime()
    options = onnxruntime.SessionOptions()
    # One question, one thread: threads that share a sum wait for each other at its end, and a busy neighbour makes one
    # of them late.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _divided(batch: BatchArrays, size: int | None) -> list[BatchArrays]:
    """The batch in parts of `size` utterances, or one for each core; each no longer than its longest utterance."""
    if size is None:
        size = max(1, -(-len(batch) // available_cores()))
    edges = [*range(0, len(batch), size), len(batch)]
    return [_rows(batch, slice(start, stop)) for start, stop in pairwise(edges)]


def _rows(batch: BatchArrays, rows: slice) -> BatchArrays:
    """Some utterances, without the padding that only others need."""

    def cut(stream: StreamArrays) -> StreamArrays:
        longest = max(1, int(stream.lengths[rows].max(initial=0)))
        words = None if stream.words is None else stream.words[rows, :longest]
        values, mask, injected = (part[rows, :longest] for part in (stream.values, stream.mask, stream.injected))
        return StreamArrays(values, mask, stream.lengths[rows], injected, words)

    streams = {modality: cut(stream) for modality, stream in batch.streams.items()}
    return BatchArrays(batch.ids[rows], batch.index[rows], streams)


def _joined(parts: Sequence[Array]) -> Array:
    """Answers of several batches as those of one: gates of the shorter ones are filled up with zeros."""
    if len(parts) == 1:
        return parts[0]
    if parts[0].ndim == 2:
        longest = max(part.shape[1] for part in parts)
        parts = [np.pad(part, ((0, 0), (0, longest - part.shape[1]))) for part in parts]
    return np.concatenate(parts)


def _output(answers: Mapping[str, Array], reads: Sequence[Modality], *, details: bool) -> OutputArrays:
    """Answers by kind."""

    def of(kind: str) -> dict[str, Array]:
        start = f"{kind}_"
        return {name.removeprefix(start): values for name, values in answers.items() if name.startswith(start)}

    return OutputArrays(
        prediction=answers["prediction"].astype(np.float64, copy=False),
        gates=of("gate") if details else {},
        shares=of("weight"),
        embeddings=of("embedding") if details else {},
        conflict=answers.get("conflict"),
    )
