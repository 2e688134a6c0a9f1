"""A recording's predictions as one HTML page: the video, a timeline under it, words, filter maps, faces.

It loads nothing from anywhere but the video, which it holds itself or links to.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from mecam.features.segmentation import SENTENCE_END
from mecam.files import write_whole
from mecam.prediction.preview import PreviewChoice
from mecam.prediction.result import Prediction, Watched
from mecam.report.markup import details, escape, plain, table
from mecam.report.recording.player import player
from mecam.report.recording.shell import shell
from mecam.task import Task
from mecam.types import TEXT, VISION, Modality

__all__ = ["odds", "says", "timeline", "write_watched"]

WIDTH, BINS = 1000, 400
"""Units of a strip from left to right, and pieces that it is drawn in at most."""


def write_watched(path: Path, watched: Watched, task: Task, *, preview: PreviewChoice = "auto") -> Path:
    """Write the page of a recording, whole or not at all.

    Args:
        path: of the page.
        watched: with the contributions of words, where they are to be shown.
        task: of the model.
        preview: whether the page gets a copy of the recording that browsers play.

    Raises: DataError if it cannot be written.
    """
    return write_whole(path, _page(path, watched, task, preview))


def _page(path: Path, watched: Watched, task: Task, preview: PreviewChoice) -> str:
    sections = [
        player(path, watched, preview),
        timeline(watched, task),
        _probabilities(watched),
        _parts(watched, task),
        _modalities(watched, task),
        _faces(watched),
        _remarks(watched),
    ]
    return shell(
        "mecam predict",
        watched.name,
        _headline(watched, task),
        sections,
        notes=watched.notes,
        duration=watched.duration,
    )


def _headline(watched: Watched, task: Task) -> str:
    overall = watched.overall
    count = len(watched.parts)
    what = f"{watched.duration:.1f} s, {count} utterance{'s' if count > 1 else ''}"
    small = f"{odds(overall)} · {what}" if overall.probabilities else what
    return f'<p class="score">{escape(says(overall, task))}<small>{escape(small)}</small></p>'


def says(given: Prediction, task: Task) -> str:
    """A prediction in one line of text."""
    if given.score is None:
        highest = max(given.probabilities.values(), default=0.0)
        return f"{given.label} ({100 * highest:.0f} %)" if not task.several else given.label
    ends = ""
    if given.low is not None and given.high is not None:
        ends = f" ({_signed(given.low)} to {_signed(given.high)})"
    return f"{given.label} {_signed(given.score)}{ends}"


def odds(given: Prediction) -> str:
    """All probabilities, the highest first."""
    order = sorted(given.probabilities.items(), key=lambda pair: -pair[1])
    return " · ".join(f"{name} {100 * share:.0f} %" for name, share in order)


def _signed(number: float) -> str:
    return f"{number:+.2f}".replace("-", "−")


def timeline(watched: Watched, task: Task) -> str:
    """Sentiment with its interval, what was kept of each modality, and where a face is, over the same seconds."""
    rows = []
    if task.is_score:
        rows.append(("sentiment", _sentiment(watched, task), "tall"))
    for modality in sorted({m for part in watched.parts for m in part.kept}, key=lambda m: (m != TEXT, m)):
        rows.append((f"{modality} kept", _kept(watched, modality), "low"))
    if any(VISION in u.streams for u in watched.utterances):
        rows.append(("face", _seen(watched), "low"))
    strips = "".join(
        f'<span>{escape(name)}</span><svg class="{css}" viewBox="0 0 {WIDTH} 100" preserveAspectRatio="none" '
        f'role="img" aria-label="{escape(name)} over time">{content}'
        '<line class="now" x1="0" x2="0" y1="0" y2="100"/></svg>'
        for name, content, css in rows
    )
    ends = f'<div class="axis"><span>0:00</span><span>{_clock(watched.duration)}</span></div>'
    scale = ""
    if task.is_score:
        band = "; the band is the interval" if any(part.low is not None for part in watched.parts) else ""
        scale = f" Sentiment runs from {plain(task.low, 0)} (bottom) to {plain(task.high, 0)} (top){band}."
    kept = ""
    if any(part.kept for part in watched.parts):
        kept = (
            "The stronger a strip's colour, the more of that moment was kept by the filter; where there is no colour, "
        )
        kept += "there was nothing to keep."
    note = f'<p class="note">{kept}{scale}</p>'
    return f'<h2>Timeline</h2>{note}<div class="time">{strips}{ends}</div>' if rows else ""


def _sentiment(watched: Watched, task: Task) -> str:
    def y(score: float) -> float:
        share = (min(max(score, task.low), task.high) - task.low) / ((task.high - task.low) or 1.0)
        return 100 * (1 - share)

    middle = y((task.low + task.high) / 2)
    parts = [f'<line class="middle" x1="0" x2="{WIDTH}" y1="{middle:.1f}" y2="{middle:.1f}"/>']
    for part in watched.parts:
        left, right = _x(watched, part.start or 0.0), _x(watched, part.stop or watched.duration)
        assert part.score is not None
        title = f"<title>{escape(says(part, task))}</title>"
        if part.low is not None and part.high is not None:
            top, bottom = y(part.high), y(part.low)
            box = f'x="{left:.1f}" width="{right - left:.1f}" y="{top:.1f}" height="{bottom - top:.1f}"'
            parts.append(f'<rect class="span" {box}>{title}</rect>')
        at = y(part.score)
        parts.append(f'<line class="level" x1="{left:.1f}" x2="{right:.1f}" y1="{at:.1f}" y2="{at:.1f}">{title}</line>')
    return "".join(parts)


def _kept(watched: Watched, modality: Modality) -> str:
    """The mean of what was kept in each piece of the strip."""
    total, count = np.zeros(BINS), np.zeros(BINS)
    for part, utterance in zip(watched.parts, watched.utterances, strict=True):
        kept = np.array(part.kept.get(modality, []), np.float64)
        if modality == TEXT:
            times = _word_times(part, [(w.start, w.stop) for w in utterance.words], len(kept))
        else:
            times = list(map(tuple, utterance.intervals.get(modality, np.empty((0, 2))).tolist()))
        for (start, stop), value in zip(times, kept, strict=False):
            first = int(BINS * start / watched.duration)
            last = max(first + 1, int(np.ceil(BINS * min(stop, watched.duration) / watched.duration)))
            if np.isnan(value):
                continue
            total[first:last] += value
            count[first:last] += 1
    step = WIDTH / BINS
    return "".join(
        f'<rect class="kept" style="--kept:{total[i] / count[i]:.2f}" x="{i * step:g}" width="{step:g}" height="100"/>'
        for i in np.flatnonzero(count).tolist()
    )


def _word_times(part: Prediction, known: Sequence[tuple[float, float]], count: int) -> Sequence[tuple[float, float]]:
    """When words were said; without times, evenly over the utterance."""
    if len(known) >= count and np.isfinite(np.array(known[:count])).all():
        return known
    edges = np.linspace(part.start or 0.0, part.stop or 0.0, count + 1).tolist()
    return list(pairwise(edges))


def _seen(watched: Watched) -> str:
    rects = []
    for utterance in watched.utterances:
        rows, times = utterance.streams.get(VISION), utterance.intervals.get(VISION)
        if rows is None or times is None:
            continue
        seen = ~np.isnan(rows).all(axis=1)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], seen, [False]]).astype(int)))
        for first, last in edges.reshape(-1, 2).tolist():
            left, right = _x(watched, times[first, 0]), _x(watched, times[last - 1, 1])
            rects.append(f'<rect class="face" x="{left:.1f}" width="{right - left:.1f}" y="0" height="100"/>')
    return "".join(rects)


def _probabilities(watched: Watched) -> str:
    """Of classes or labels: the probability of each, in every utterance."""
    names = list(watched.overall.probabilities)
    if not names:
        return ""
    rows = [(f"{_clock(p.start or 0.0)}–{_clock(p.stop or 0.0)}", p) for p in watched.parts]
    rows = [*rows, ("whole", watched.overall)] if len(rows) > 1 else rows
    cells = []
    for time, part in rows:
        best = max(part.probabilities.values())
        shown = [(f"{100 * p:.0f} %", p == best) for p in (part.probabilities[name] for name in names)]
        cells.append([escape(time), *(f"<b>{text}</b>" if top else text for text, top in shown)])
    return f"<h2>Probabilities</h2>{table(['utterance', *map(escape, names)], cells, numbers=len(names))}"


def _parts(watched: Watched, task: Task) -> str:
    largest = max((abs(c) for row in watched.contributions for c in row), default=0.0)
    rows = []
    for i, part in enumerate(watched.parts):
        given = watched.contributions[i] if i < len(watched.contributions) else ()
        start, stop = part.start or 0.0, part.stop or 0.0
        odd = "".join(f'<p class="warn">{escape(line)}</p>' for line in _oddities(part))
        rows.append(
            f'<div class="part" data-start="{start:.3f}" data-stop="{stop:.3f}">'
            f'<p><button type="button">▶ {_clock(start)}–{_clock(stop)}</button> '
            f'<span class="says">{escape(says(part, task))}</span></p>{_words(part, given, largest)}{odd}</div>'
        )
    legend = ""
    if largest > 0:
        up, down = ("raises the score", "lowers it") if task.is_score else ("speaks for it", "speaks against it")
        legend = (
            f'<p class="legend"><span class="up swatch" style="--weight:1">{up}</span>'
            f'<span class="down swatch" style="--weight:1">{down}</span> measured by leaving the word out</p>'
        )
    return f"<h2>Utterances</h2>{legend}{''.join(rows)}"


def _oddities(part: Prediction) -> list[str]:
    """Who contradicts the others in the model's eyes, and who alone would say the opposite."""
    lines = [
        f"{modality} contradicts the others: {100 * part.doubts[modality]:.0f} % probable."
        for modality in part.contradicts
    ]
    said = ((modality, part.alone[modality]) for modality in part.disagrees)
    return lines + [
        f"{modality} alone would say {'the opposite' if isinstance(answer, float) else 'something else'}: "
        f"{_signed(answer) if isinstance(answer, float) else answer}."
        for modality, answer in said
    ]


def _words(part: Prediction, given: Sequence[float], largest: float) -> str:
    if not part.text:
        return '<p class="muted">no text</p>'
    cells = []
    for i, word in enumerate(part.text.split()):
        if i < len(given) and largest > 0:
            css, weight = ("up" if given[i] > 0 else "down"), abs(given[i]) / largest
            cells.append(
                f'<span class="{css}" style="--weight:{weight:.2f}" title="{_signed(given[i])}">{escape(word)}</span>'
            )
        else:
            cells.append(escape(word))
    return f'<p class="said">{" ".join(cells)}</p>'


def _modalities(watched: Watched, task: Task) -> str:
    """What each modality weighs, and what it would say alone."""
    present = sorted({m for p in watched.parts for m in p.shares}, key=lambda m: (m != TEXT, m))
    if not present:
        return ""
    head = ["utterance", "modality", "share", "alone"]
    rows = []
    for part in watched.parts:
        for modality in present:
            alone = part.alone.get(modality)
            said = _signed(alone) if isinstance(alone, float) else escape(alone or "—")
            cells = [
                _clock(part.start or 0.0) if modality == present[0] else "",
                escape(modality),
                "absent" if modality in part.absent else f"{100 * part.shares.get(modality, 0.0):.0f} %",
                f'<span class="warn">{said}</span>' if modality in part.disagrees else said,
            ]
            rows.append(cells)
    note = ""
    if any(part.alone for part in watched.parts):
        other = "the opposite of" if task.is_score else "something else than"
        note = "Alone: what the model says when it is given this modality only; in colour where that is "
        note = f'<p class="note">{note}{other} what it says of all together.</p>'
    missing = "".join(f"<p>{escape(m)} is absent: {escape(why)}.</p>" for m, why in watched.absent.items())
    return f"<h2>Modalities</h2>{note}{table(head, rows, numbers=2)}{missing}{_doubts(watched)}"


def _doubts(watched: Watched) -> str:
    """How probable contradictions are, folded away: small ones mean nothing."""
    names = sorted({m for p in watched.parts for m in p.doubts}, key=lambda m: (m != TEXT, m))
    if not names:
        return ""
    rows = []
    for part in watched.parts:
        shown = []
        for modality in names:
            doubt = part.doubts.get(modality)
            told = "—" if doubt is None else f"{100 * doubt:.0f} %"
            shown.append(f'<span class="warn">{told}</span>' if modality in part.contradicts else told)
        rows.append([_clock(part.start or 0.0), *shown])
    note = (
        '<p class="note">How probable the model finds it, having seen all together, that a modality contradicts the '
        "others. It is said beside the utterance where it is above 50 %; smaller numbers mean nothing. It need not "
        "agree with what a modality says alone: that is asked of the modality, this is the model's own estimate.</p>"
    )
    return details(
        "Does a modality contradict the others?", note + table(["utterance", *names], rows, numbers=len(names))
    )


def _faces(watched: Watched) -> str:
    rows = watched.details.get(VISION, ())
    if not any(rows):
        return ""
    frames = sum(row.get("frames", 0) for row in rows)
    seen = sum(row.get("with_face", 0) for row in rows)
    most = max((row.get("most_faces_at_once", 0) for row in rows), default=0)
    cells = [
        [
            f"{_clock(face['start'])}–{_clock(face['stop'])}",
            str(face["frames"]),
            str(face["chosen"]),
            f"{face['side']:.0f}",
            f"{face['presence']:.2f}",
        ]
        for row in rows
        for face in row.get("faces", ())
    ]
    text = f"<p>A face in {seen} of {frames} pictures looked at; at most {most} at once.</p>"
    head = ["seen", "pictures", "taken as speaker", "pixels", "certainty"]
    return f"<h2>Faces</h2>{text}{table(head, cells, numbers=4) if cells else ''}"


def _remarks(watched: Watched) -> str:
    language = [f"Language: {watched.language}."] if watched.language else []
    remarks = [*language, *(f"{finding[:1].upper()}{finding[1:]}" for finding in watched.findings)]
    ended = (remark if remark.endswith(tuple(SENTENCE_END)) else f"{remark}." for remark in remarks)
    return f"<h2>Remarks</h2>{''.join(f'<p>{escape(remark)}</p>' for remark in ended)}" if remarks else ""


def _x(watched: Watched, seconds: float) -> float:
    return WIDTH * min(max(seconds / max(watched.duration, 1e-3), 0.0), 1.0)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}:{rest:04.1f}"
