"""Explanations as one HTML page that loads nothing from anywhere; of a recording with its player and timeline."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mecam.evaluation.detection import contradicting
from mecam.evaluation.explanation.agreement import between
from mecam.evaluation.explanation.explanation import ALL, Explanation, Strand, in_short
from mecam.evaluation.explanation.perturbation import Effect
from mecam.evaluation.predict import known_only
from mecam.evaluation.sums import Array
from mecam.files import write_whole
from mecam.prediction.preview import PreviewChoice
from mecam.prediction.result import Watched
from mecam.report.markup import details, escape, plain, table
from mecam.report.recording.page import timeline
from mecam.report.recording.player import player
from mecam.report.recording.shell import shell
from mecam.report.run.filter_maps import Range, edges_of, ends, kept_strip, kept_words, legend, shades_of, time_span
from mecam.task import Task
from mecam.types import Modality

__all__ = ["write_explained", "write_explained_recording"]

COLOURS = (
    '<span class="up swatch" style="--weight:1">raises the answer</span>'
    '<span class="down swatch" style="--weight:1">lowers it</span>'
)

SHOWN = 10
"""Parts in the table of those that count most."""


def write_explained(
    path: Path, explained: Sequence[Explanation], about: Mapping[str, Any], notes: Sequence[str] = ()
) -> Path:
    """Write a page about utterances.

    Args:
        path: of the page.
        explained: the utterances.
        about: `run`, `model` and `data`, by name.
        notes: what must be said beside every result of this model.

    Raises: DataError if it cannot be written.
    """
    title = explained[0].id if len(explained) == 1 else f"{len(explained)} utterances of {about['data']}"
    head = f'<p class="note">{escape(about["model"])} of {escape(about["run"])}, on {escape(about["data"])}</p>'
    sections = [_utterance(one, one.id if len(explained) > 1 else "") for one in explained]
    return write_whole(
        path, shell("mecam explain", title, head + _how(), sections, notes=notes, styles=("explanation/explained.css",))
    )


def write_explained_recording(
    path: Path,
    explained: Sequence[Explanation],
    watched: Watched,
    about: Mapping[str, Any],
    task: Task,
    *,
    preview: PreviewChoice = "auto",
) -> Path:
    """Write a page about a recording: its player, its timeline, and every utterance explained.

    Args:
        path: of the page.
        explained: its utterances.
        watched: the recording.
        about: `run`, `model` and `data`, by name.
        task: of the model.
        preview: as in `write_watched`.

    Raises: DataError if it cannot be written.
    """
    head = f'<p class="note">{escape(about["model"])} of {escape(about["run"])}</p>'
    head += "".join(f"<p>{escape(m)} is absent: {escape(why)}.</p>" for m, why in watched.absent.items())
    sections = [player(path, watched, preview), timeline(watched, task)]
    for part, one in zip(watched.parts, explained, strict=True):
        start, stop = part.start or 0.0, part.stop or watched.duration
        button = f'<button type="button">▶ {start:.1f}–{stop:.1f} s</button>'
        place = f'<div class="part bare" data-start="{start:.3f}" data-stop="{stop:.3f}"><p>{button}</p></div>'
        sections.append(place + _utterance(one, ""))
    page = shell(
        "mecam explain",
        watched.name,
        head + _how(),
        sections,
        notes=watched.notes,
        duration=watched.duration,
        styles=("explanation/explained.css",),
    )
    return write_whole(path, page)


def _how() -> str:
    """How to read the page."""
    return details(
        "How to read this",
        "<p>What is shown is what the model does, not why it is right. <b>Kept</b> is the filter's gate: how much of a "
        "word or row went on. <b>Left out</b> asks the model again: a word replaced by the unknown token, rows masked, "
        "a modality absent; what it <b>adds</b> is the answer with it less the answer without it. <b>Gradients</b> are "
        "integrated gradients: what a word or row adds on the way from an empty utterance to this one. Everywhere "
        "+ and blue raise the answer by being there, − and red lower it; colours of one measure are on one scale for "
        "all modalities. Differences of probabilities are in points.</p>",
    )


def _utterance(one: Explanation, name: str) -> str:
    """Everything about one utterance."""
    doubted = "".join(
        f'<p class="warn">{escape(m)} contradicts the others: {100 * one.doubts[m]:.0f} % probable.</p>'
        for m in contradicting(one.doubts)
    )
    heading = f"<h2>{escape(name)}</h2>" if name else ""
    parts = [heading, _answer(one), doubted, _course(one), _alternatives(one), _modalities(one)]
    return "".join([*parts, _strongest(one), _agreement(one), _completeness(one)])


def _answer(one: Explanation) -> str:
    ends_ = "" if one.low is None or one.high is None else f" ({_signed(one.low)} to {_signed(one.high)})"
    scored = one.quantity.column is None
    number = f"{_signed(one.score)}{ends_}" if scored else f"({_percent(one.score)})"
    notes = [] if one.truth is None else [f"true {in_short(one.truth)}"]
    notes += [] if scored else [f"what is explained is the {one.quantity.name}"]
    return f'<p class="score">{escape(one.label)} {number}<small>{escape("; ".join(notes))}</small></p>'


def _course(one: Explanation) -> str:
    """Words and streams over time: what was kept, and what leaving out and gradients say."""
    streams = {m: _stream(strand) for m, strand in one.strands.items()}
    filtered = {m: stream for m, stream in streams.items() if one.strands[m].kept is not None}
    shades = shades_of([{"modalities": filtered}]) if filtered else (0.0, 1.0)
    span = time_span(streams)
    lines = [_sentence(one, m, streams[m], shades) for m in streams if one.strands[m].words]
    measures = _measures(one)
    strips, axes = [], ends(f"{span[0]:.1f} s", f"{span[1]:.1f} s") if span else ""
    for m, strand in one.strands.items():
        if len(strand.observed) < 2 or (strand.words and edges_of(streams[m]) is None):
            continue
        edges = edges_of(streams[m])
        rows = (0.0, float(len(strand.observed)))
        across, scale = (edges, span) if edges is not None and span else (np.arange(rows[1] + 1), rows)
        if m in filtered:
            strips.append(kept_strip(f"{m} kept", streams[m], shades, across, scale))
        strips += [
            _lane(m, name if m in filtered else f"{m} {name}", strand, values[m] / largest, across, scale)
            for name, (values, largest) in measures.items()
        ]
        if scale is rows:
            strips.append(ends("first row", f"row {len(strand.observed)}"))
        elif m == [n for n in streams if edges_of(streams[n]) is not None][-1]:
            strips.append(axes)
    if not lines and not strips:
        return ""
    missing = any(None in stream["kept"] for stream in filtered.values())
    shown = legend(shades, any(any(s["injected"] or []) for s in streams.values()), missing) if filtered else ""
    shown += f'<div class="legend">{COLOURS}</div>'
    return f"<h3>What was kept, and what it does</h3>{shown}{''.join(lines)}{''.join(strips)}"


def _stream(strand: Strand) -> dict[str, Any]:
    """A strand as the report's filter maps are written; what was not observed is None."""
    times = [part.part.seconds for part in strand.parts]
    rows = len(strand.observed)
    seconds = stop = None
    if all(times) and times:
        known = [t for t in times if t is not None]
        stop = known[-1][1]
        if strand.words:
            seconds = [t[0] for t in known]
        else:  # rows are evenly spaced within a window
            marks = [p.part.start for p in strand.parts] + [rows]
            seconds = np.interp(np.arange(rows), marks, [t[0] for t in known] + [stop]).tolist()
    return {
        "kept": [None] * rows if strand.kept is None else known_only(strand.kept),
        "labels": [part.part.label or "" for part in strand.parts] if strand.words else None,
        "seconds": seconds,
        "stop": stop,
        "injected": None if strand.injected is None else strand.injected.tolist(),
        "kinds": list(strand.kinds),
    }


def _sentence(one: Explanation, modality: Modality, stream: Mapping[str, Any], shades: Range) -> str:
    """The words as the filter sees them, and as the answer depends on them."""
    strand = one.strands[modality]
    first = kept_words(stream, shades) if strand.kept is not None else ""
    values, largest = _measures(one)["left out"]
    cells = [
        f'<span class="{"up" if v > 0 else "down"}{" gone" if gone else ""}" style="--weight:{abs(v) / largest:.2f}" '
        f'title="adds {_minus(one.quantity.difference(v))}">{escape(part.part.label or "")}</span>'
        for part, v, gone in zip(strand.parts, values[modality].tolist(), strand.removed, strict=True)
    ]
    return f'{first}<p class="said words">{" ".join(cells)} <small class="muted">left out</small></p>'


def _lane(modality: Modality, name: str, strand: Strand, values: Array, edges: Array, span: Range) -> str:
    """Signed values of the parts, −1 to 1, from left to right."""
    at = np.round((edges - span[0]) / ((span[1] - span[0]) or 1.0) * 1000).astype(int).tolist()
    boxes = [
        f'<rect class="{"up" if v > 0 else "down"}" x="{at[p.start]}" width="{at[p.stop] - at[p.start]}" height="1" '
        f'style="--weight:{abs(v):.2f}"><title>{escape(p.name)}</title></rect>'
        for p, v in zip([each.part for each in strand.parts], values.tolist(), strict=True)
    ]
    return (
        f'<div class="strip lane"><span class="muted">{escape(name)}</span>'
        f'<svg viewBox="0 0 1000 1" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(modality)}: {escape(name)}">{"".join(boxes)}</svg></div>'
    )


def _measures(one: Explanation) -> dict[str, tuple[dict[Modality, Array], float]]:
    """What each part adds by being there: measure → values per modality, and the largest of all."""
    found = {"left out": {m: np.array([p.without.adds for p in s.parts]) for m, s in one.strands.items()}}
    if one.gradients is not None:
        found["gradients"] = {m: np.array([p.gradient or 0.0 for p in s.parts]) for m, s in one.strands.items()}
    return {
        name: (values, max((float(np.abs(v).max(initial=0.0)) for v in values.values()), default=0.0) or 1.0)
        for name, values in found.items()
    }


def _alternatives(one: Explanation) -> str:
    """The answer without each modality and without what the filter marks, as moves on one scale."""
    moves: list[tuple[str, Effect]] = [(f"without {m}", effect) for m, effect in one.without_modality.items()]
    for m, effect in one.without_removed.items():
        if effect.count and not (m == ALL and sum(bool(e.count) for e in one.without_removed.values()) < 3):
            what = "all that is marked" if m == ALL else f"marked {m} ({effect.count})"
            moves.append((f"without {what}", effect))
    if not moves:
        return ""
    everything = [one.score, *(effect.score for _, effect in moves)]
    low, high = min(everything), max(everything)
    margin = 0.08 * ((high - low) or 1.0)

    def x(score: float) -> float:
        return 1000 * (score - low + margin) / (high - low + 2 * margin)

    rows = [
        f'<span>{escape(name)}</span><svg viewBox="0 0 1000 20" preserveAspectRatio="none" role="img" '
        f'aria-label="from {one.score:.2f} to {effect.score:.2f}">'
        f'<line class="to {"up" if effect.adds > 0 else "down"}" x1="{x(one.score):.0f}" x2="{x(effect.score):.0f}" '
        f'y1="10" y2="10"/><line class="whole" x1="{x(one.score):.0f}" x2="{x(one.score):.0f}" y1="0" y2="20"/></svg>'
        f"<span>{_minus(one.quantity.told(effect.score))}</span>"
        f"<span>{_minus(one.quantity.difference(effect.adds))}</span>"
        for name, effect in moves
    ]
    begins = _minus(one.quantity.told(one.score))
    head = f"<b></b><b>from {begins}, the line, to</b><b>answer</b><b>it adds{one.quantity.unit}</b>"
    return f'<h3>The answer without it</h3><div class="moves">{head}{"".join(rows)}</div>{_nothing(one)}'


def _nothing(one: Explanation) -> str:
    """Said where the filter marks nothing as removed."""
    if not one.without_removed or one.without_removed[ALL].count:
        return ""
    return '<p class="note">The filter marks nothing here as removed: it kept at least half of every row.</p>'


def _modalities(one: Explanation) -> str:
    """Shares, doubts and gates, as far as the model has any."""
    said = contradicting(one.doubts)
    columns: list[tuple[str, dict[Modality, str]]] = [
        ("share", {m: _percent(share) for m, share in one.shares.items()}),
        ("contradicts", {m: _percent(one.doubts[m]) for m in said}),
    ]
    filtered = {m: strand for m, strand in one.strands.items() if strand.kept is not None}
    kept = {m: plain(float(np.mean(s.kept[s.observed])), 2) for m, s in filtered.items() if s.kept is not None}
    removed = {m: f"{int(s.removed.sum())} of {int(s.observed.sum())}" for m, s in filtered.items()}
    columns += [("kept on average", kept), ("marked as removed", removed)]
    known = [(name, cells) for name, cells in columns if cells]
    if not known:
        return ""
    rows = [[escape(m), *(cells.get(m, "—") for _, cells in known)] for m in one.strands]
    return f"<h3>Modalities</h3>{table(['modality', *(name for name, _ in known)], rows, numbers=len(known))}"


def _strongest(one: Explanation) -> str:
    parts = [(m, p) for m, strand in one.strands.items() for p in strand.parts if p.without.count]
    rows = []
    for m, p in sorted(parts, key=lambda pair: -abs(pair[1].without.adds))[:SHOWN]:
        when = "" if p.part.seconds is None else f" <small>{p.part.seconds[0]:.1f}–{p.part.seconds[1]:.1f} s</small>"
        told = (
            one.quantity.told(p.without.score),
            *(one.quantity.difference(v, 3) for v in (p.without.adds, p.gradient)),
        )
        kept = "—" if p.kept is None else plain(p.kept, 2)
        rows.append([f"{escape(p.part.name)}{when}", escape(m), kept, *map(_minus, told)])
    unit = one.quantity.unit
    head = ["part", "modality", "kept", "without it", f"adds{unit}", f"gradients{unit}"]
    return details("What counts most", table(head, rows, numbers=4)) if rows else ""


def _agreement(one: Explanation) -> str:
    rows = []
    for m, strand in one.strands.items():
        for pair, found in strand.agreement.items():
            rows.append(
                [
                    escape(m),
                    between(pair),
                    _signed(found.spearman),
                    _percent(found.overlap),
                    _percent(found.chance),
                    str(found.parts),
                ]
            )
    head = ["modality", "between", "rank correlation", "top quarter in common", "by chance", "parts"]
    return details("Do filter, leaving out and gradients agree?", table(head, rows, numbers=4)) if rows else ""


def _completeness(one: Explanation) -> str:
    found = one.gradients
    if found is None:
        return ""
    said = one.quantity
    held = f" {', '.join(found.held)} stood still: this model reads it in a way of its own." if found.held else ""
    return (
        f'<p class="note">Integrated gradients from {_minus(said.told(found.baseline, 3))} to '
        f"{_minus(said.told(found.score, 3))} in {found.steps} steps attribute "
        f"{_minus(said.difference(found.total, 3))}{said.unit and ' points'}; completeness error "
        f"{_minus(said.difference(found.error, 4))}."
        f"{escape(held)}</p>"
    )


def _signed(number: float | None, digits: int = 2) -> str:
    return "—" if number is None else f"{number:+.{digits}f}".replace("-", "−")


def _minus(text: str) -> str:
    """A number with the sign that print has for minus."""
    return text.replace("-", "−")


def _percent(share: float | None) -> str:
    return "—" if share is None else f"{100 * share:.0f} %"
