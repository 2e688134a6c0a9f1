"""What is said of the last seconds of a conversation that still goes on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from mecam.prediction.moments import row_times
from mecam.prediction.result import Prediction
from mecam.prediction.rows import mean_of_known
from mecam.types import TEXT, Modality, Utterance, Word

__all__ = ["Gate", "LiveAnswer", "SaidText", "SeenPerson", "gates_of"]

DENSEST_S = 0.1
"""Seconds between two gates at least: rows that are denser are told together, by their mean."""


class Gate(NamedTuple):
    """How much of a row, or of a word, is kept.

    Attributes:
        start: seconds.
        stop: seconds.
        kept: 0 to 1; None where the row is missing.
        word: of text, the word.
    """

    start: float
    stop: float
    kept: float | None
    word: str = ""

    def to_json(self) -> list[Any]:
        """Plain values; without a word where there is none."""
        values = [round(self.start, 3), round(self.stop, 3), None if self.kept is None else round(self.kept, 4)]
        return [*values, self.word] if self.word else values


@dataclass(frozen=True)
class SaidText:
    """Words that lie in the window.

    Attributes:
        id: of the text.
        text: the words.
        start: seconds.
        stop: seconds.
        source: who knew them: the client, or speech to text.
        words: with their times.
        prediction: of these words; None of a model that does not read any.
    """

    id: str
    text: str
    start: float
    stop: float
    source: Literal["client", "asr"]
    words: tuple[Word, ...]
    prediction: Prediction | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values; no prediction where there is none."""
        times = {"start": round(self.start, 3), "stop": round(self.stop, 3)}
        values: dict[str, Any] = {"id": self.id, "text": self.text, **times, "source": self.source}
        return values if self.prediction is None else {**values, "prediction": self.prediction.to_json()}


@dataclass(frozen=True)
class SeenPerson:
    """Somebody whose face was seen a moment ago.

    Attributes:
        person: their number; it holds for the whole session.
        box: left, top, width and height of the face in shares of the picture.
        speaking: whether there is a voice, and it is theirs.
        time: seconds at which they were last seen.
    """

    person: int
    box: tuple[float, ...]
    speaking: bool
    time: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**vars(self), "box": [round(share, 4) for share in self.box], "time": round(self.time, 3)}


@dataclass(frozen=True)
class LiveAnswer:
    """What is said of the window that ends now.

    Attributes:
        time: seconds since the session began: the end of the window.
        start: of the window.
        stop: of the window.
        prediction: over the window.
        now: what voice and face say of the last two seconds.
        texts: the words in the window, each text with its own prediction.
        people: whose faces were seen a moment ago.
        gates: modality → how much of each row in the window is kept.
        absent: modality that the model reads and the window lacks → why.
        findings: what was odd, in sentences.
        late_sound_s: seconds of sound that came too late since the session began.
        late_pictures: pictures that came too late.
    """

    time: float
    start: float
    stop: float
    prediction: Prediction
    now: Prediction
    texts: tuple[SaidText, ...] = ()
    people: tuple[SeenPerson, ...] = ()
    gates: Mapping[Modality, tuple[Gate, ...]] = field(default_factory=dict)
    absent: Mapping[Modality, str] = field(default_factory=dict)
    findings: tuple[str, ...] = ()
    late_sound_s: float = 0.0
    late_pictures: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "time": round(self.time, 3),
            "start": round(self.start, 3),
            "stop": round(self.stop, 3),
            "prediction": self.prediction.to_json(),
            "now": self.now.to_json(),
            "texts": [text.to_json() for text in self.texts],
            "people": [person.to_json() for person in self.people],
            "gates": {modality: [gate.to_json() for gate in gates] for modality, gates in self.gates.items()},
            "absent": dict(self.absent),
            "dropped": {"pictures": self.late_pictures, "sound_s": round(self.late_sound_s, 3)},
            "findings": list(self.findings),
        }


def gates_of(part: Prediction, utterance: Utterance, modality: Modality, start: float, stop: float) -> tuple[Gate, ...]:
    """The gates of the rows whose middle lies between two times.

    Args:
        part: with the gates of all rows of the utterance.
        utterance: whose rows they are.
        modality: of the rows; of text, they are words.
        start: seconds.
        stop: seconds.
    """
    kept = part.kept.get(modality, [])
    words = [word.text for word in utterance.words] if modality == TEXT else [""] * len(kept)
    times = row_times(part, utterance, modality, len(kept))
    gates = [Gate(*time, gate, word) for gate, time, word in zip(kept, times, words, strict=False)]
    found = [gate for gate in gates if start <= (gate.start + gate.stop) / 2 < stop]
    return tuple(found if modality == TEXT else _thinned(found))


def _thinned(gates: Sequence[Gate]) -> Sequence[Gate]:
    """With those that begin in the same tenth of a second as one."""
    groups: dict[int, list[Gate]] = {}
    for gate in gates:
        groups.setdefault(int(gate.start / DENSEST_S + 1e-6), []).append(gate)
    return [
        Gate(group[0].start, group[-1].stop, mean_of_known([gate.kept for gate in group])) for group in groups.values()
    ]
