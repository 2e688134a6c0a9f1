"""Predictions as an annotation document of ELAN: a tier for each thing that is said of a recording."""

import datetime
import mimetypes
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from urllib.parse import quote
from xml.etree import ElementTree

from mecam.prediction.in_words import activation_of, emotions_of, face_of, sentiment_of
from mecam.prediction.result import Prediction, RecordingPrediction
from mecam.prediction.rows import in_time
from mecam.version import __version__

__all__ = ["as_eaf"]

SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
TYPE = "default"
"""Name of the one kind of tier."""

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML file may have, not even escaped."""

Annotation = tuple[int, int, str]
"""From and to, in milliseconds, and what is said."""

SPOKEN: Mapping[str, Callable[[Prediction], str]] = {
    "transcript": lambda part: part.text or "",
    "sentiment": sentiment_of,
    "emotions": emotions_of,
    "activation": activation_of,
    "contradicts": lambda part: ", ".join(part.contradicts),
}
"""Tier → what stands on it for an utterance or a moment of the speaker."""


def as_eaf(recording: RecordingPrediction) -> str:
    """The document of a recording: an annotation a moment, where they were asked for, otherwise one an utterance.

    Tiers that nothing stands on are left out. The recording is linked by its place, and by its name, which finds it
    in the folder of the document.
    """
    ElementTree.register_namespace("xsi", INSTANCE)
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    about = {"AUTHOR": f"mecam {__version__}", "DATE": now, "FORMAT": "3.0", "VERSION": "3.0"}
    root = ElementTree.Element("ANNOTATION_DOCUMENT", {**about, f"{{{INSTANCE}}}noNamespaceSchemaLocation": SCHEMA})
    _add_header(root, recording)
    tiers = {name: _parted(given) for name, given in _tiers(recording).items()}
    slots = _add_times(root, [time for tier in tiers.values() for start, stop, _ in tier for time in (start, stop)])
    for name, annotations in tiers.items():
        _add_tier(root, name, annotations, slots)
    kind = {"LINGUISTIC_TYPE_ID": TYPE, "TIME_ALIGNABLE": "true", "GRAPHIC_REFERENCES": "false"}
    ElementTree.SubElement(root, "LINGUISTIC_TYPE", kind)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, "unicode") + "\n"


def _add_header(root: ElementTree.Element, recording: RecordingPrediction) -> None:
    header = ElementTree.SubElement(root, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    kind = mimetypes.guess_type(recording.path.name)[0] or "application/octet-stream"
    beside = f"./{quote(os.fsencode(recording.path.name))}"
    media = {"MEDIA_URL": recording.path.absolute().as_uri(), "MIME_TYPE": kind, "RELATIVE_MEDIA_URL": beside}
    ElementTree.SubElement(header, "MEDIA_DESCRIPTOR", media)
    for name, text in (("model", recording.model), *(("note", note) for note in recording.notes)):
        if text:
            ElementTree.SubElement(header, "PROPERTY", {"NAME": name}).text = _legal(text)


def _add_times(root: ElementTree.Element, times: Sequence[int]) -> Iterator[str]:
    """Write the times in rising order, as the format wants them; give their names in the order of `times`."""
    order = ElementTree.SubElement(root, "TIME_ORDER")
    names = {}
    for number, place in enumerate(sorted(range(len(times)), key=lambda place: times[place]), 1):
        names[place] = f"ts{number}"
        ElementTree.SubElement(order, "TIME_SLOT", {"TIME_SLOT_ID": names[place], "TIME_VALUE": str(times[place])})
    return (names[place] for place in range(len(times)))


def _add_tier(root: ElementTree.Element, name: str, annotations: Sequence[Annotation], slots: Iterator[str]) -> None:
    tier = ElementTree.SubElement(root, "TIER", {"TIER_ID": name, "LINGUISTIC_TYPE_REF": TYPE})
    for _, _, text in annotations:
        start, stop = next(slots), next(slots)
        about = {"ANNOTATION_ID": f"a{start[2:]}", "TIME_SLOT_REF1": start, "TIME_SLOT_REF2": stop}
        aligned = ElementTree.SubElement(ElementTree.SubElement(tier, "ANNOTATION"), "ALIGNABLE_ANNOTATION", about)
        ElementTree.SubElement(aligned, "ANNOTATION_VALUE").text = _legal(text)


def _tiers(recording: RecordingPrediction) -> dict[str, list[tuple[Prediction, str]]]:
    """Tier → what stands on it, in time; those of faces are one a person."""
    tiers: dict[str, list[tuple[Prediction, str]]] = {name: [] for name in SPOKEN}
    for part in sorted(in_time(recording), key=lambda part: part.start or 0.0):
        for name, told in () if part.listens else SPOKEN.items():
            tiers[name].append((part, told(part)))
        face = "expression" if part.person is None else f"expression (person {part.person})"
        tiers.setdefault(face, []).append((part, face_of(part)))
    filled = {name: [(part, text) for part, text in given if text.strip()] for name, given in tiers.items()}
    return {name: given for name, given in filled.items() if given}


def _parted(given: Sequence[tuple[Prediction, str]]) -> list[Annotation]:
    """Annotations in whole milliseconds, each at least one long: those of a tier must not overlap."""
    annotations: list[Annotation] = []
    end = 0
    for part, text in given:
        start = max(round(1000 * (part.start or 0.0)), end)
        end = max(round(1000 * (part.stop or 0.0)), start + 1)
        annotations.append((start, end, text))
    return annotations


def _legal(text: str) -> str:
    """Text on one line; what no XML file may have is replaced."""
    return _ILLEGAL.sub("\ufffd", " ".join(text.split()))
