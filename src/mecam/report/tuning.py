"""The page of a search: how it went, what mattered, every trial."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from mecam.config import Between, Choice
from mecam.experiments.search import Trial, Tuned
from mecam.report.comparison.page import sortable_head
from mecam.report.figures import Figure, axis, compose
from mecam.report.markup import escape, figure, plain, table, titled
from mecam.report.page import document

__all__ = ["shown", "tuning_page"]

FULL = {"color": "var(--accent)", "size": 8, "opacity": 0.7}
HOLLOW = {"color": "var(--muted)", "size": 8, "opacity": 0.7, "symbol": "circle-open"}


def tuning_page(tuned: Tuned) -> str:
    """One HTML page that needs nothing but a browser."""
    sections = [
        ("best", "Best", _best(tuned)),
        ("search", "Search", _search(tuned)),
        ("importance", "What mattered", _importance(tuned)),
        ("options", "Options", _options(tuned)),
        ("trials", "Trials", _trials(tuned)),
    ]
    told = ", ".join(f"{count} {state}" for state in ("complete", "pruned", "failed") if (count := tuned.count(state)))
    seeds = f", each the mean of {tuned.seeds} seeds" if tuned.seeds > 1 else ""
    header = (
        f'{sortable_head()}<p class="kicker">mecam search</p><h1>{escape(tuned.model)} on {escape(tuned.data)}</h1>'
        f'<p class="lede">{len(tuned.trials)} trials{seeds}: {escape(told)}. Chosen by {escape(tuned.metric)} on '
        "validation; the test split was not opened.</p>"
    )
    return document(f"Search of {tuned.model} on {tuned.data}", header, sections)


def shown(value: object) -> str:
    """An option's value, to four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _best(tuned: Tuned) -> str:
    if tuned.best is None:
        return ""
    told = f"<p>Trial {tuned.best.number}: {escape(tuned.metric)} {plain(tuned.best.score)} on validation"
    if tuned.defaults is not None and tuned.defaults.score is not None:
        told += f"; with the defaults {plain(tuned.defaults.score)}"
    told += ". The best of many is a little lucky: on test, expect less.</p>"
    before = {} if tuned.defaults is None else tuned.defaults.options
    rows = [
        [escape(key), escape(str(tuned.space[key])), escape(shown(before.get(key, ""))), escape(shown(value))]
        for key, value in tuned.best.options.items()
    ]
    where = "<p>All of it is in <code>best.yaml</code>, for <code>mecam train --config</code>.</p>"
    return titled("Best", told, table(["option", "searched", "default", "best"], rows, numbers=3), where)


def _search(tuned: Tuned) -> str:
    full, cut = _scored(tuned), _cut_short(tuned)
    if not full:
        return ""
    pick = max if tuned.higher_is_better else min
    names = [f"trial {trial.number}" for trial, _ in full]
    numbers, scores = [trial.number for trial, _ in full], [score for _, score in full]
    line = {
        "type": "scatter",
        "mode": "lines",
        "x": numbers,
        "y": list(accumulate(scores, pick)),
        "line": {"color": "var(--accent)", "width": 1.5, "shape": "hv"},
        "hoverinfo": "skip",
    }
    data = [line, _dots(numbers, scores, names, FULL)]
    if cut:
        named = [f"trial {trial.number}, cut short" for trial, _ in cut]
        data.append(_dots([trial.number for trial, _ in cut], [score for _, score in cut], named, HOLLOW))
    caption = "A dot is a trial, a ring one that was cut short, at its best epoch; the line is the best so far."
    if tuned.defaults is not None:
        caption += f" Trial {tuned.defaults.number} is the defaults."
    spec = compose(data, axis("trial", nticks=8), axis(_titled(tuned)), height=280)
    return titled("Search", figure(spec, caption, label=f"{tuned.metric} of each trial and the best so far"))


def _importance(tuned: Tuned) -> str:
    if not tuned.importance:
        return ""
    pairs = sorted(tuned.importance.items(), key=lambda pair: pair[1])
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [share for _, share in pairs],
        "y": [escape(key) for key, _ in pairs],
        "marker": {"color": "var(--accent)", "opacity": 0.7},
        "hovertemplate": "%{y}: %{x:.0%}<extra></extra>",
    }
    x = axis("share of the variance between trials", tickformat=".0%", rangemode="tozero", nticks=5)
    spec = compose([bars], x, axis("", showgrid=False), height=80 + 28 * len(pairs))
    caption = (
        "How much of the difference between complete trials each option accounts for, by functional ANOVA of a forest "
        "(Hutter et al., ICML 2014). With few trials this is a hint."
    )
    return titled("What mattered", figure(spec, caption, label="Importance of each option"))


def _options(tuned: Tuned) -> str:
    full = _scored(tuned)
    if len(full) < 2:
        return ""
    drawn = [_slice(tuned, key) for key in full[0][0].options]
    note = "Every complete trial (dot) and every one cut short (ring) over one option at a time; the line is the best."
    return titled("Options", f'<p class="note">{note}</p>', f'<div class="pair">{"".join(drawn)}</div>')


def _slice(tuned: Tuned, key: str) -> str:
    """The score over one option."""
    data: list[dict[str, Any]] = []
    for scored, marker in ((_scored(tuned), FULL), (_cut_short(tuned), HOLLOW)):
        given = [(t.options[key], score, f"trial {t.number}") for t, score in scored if key in t.options]
        words = [escape(value) if isinstance(value, str) else value for value, *_ in given]
        data.append(_dots(words, [score for _, score, _ in given], [name for *_, name in given], marker))
    where = tuned.space[key]
    few = isinstance(where, Choice)
    wide = isinstance(where, Between) and where.log
    if few:
        data = [{**trace, "x": [str(x) for x in trace["x"]]} for trace in data]
    x = axis(
        key,
        type="category" if few else "log" if wide else None,
        nticks=5,
        categoryarray=[escape(str(value)) for value in where.values] if isinstance(where, Choice) else None,
        exponentformat="power" if wide else None,
    )
    best = tuned.best.score if tuned.best is not None else None
    dashed = {"color": "var(--muted)", "width": 1, "dash": "dot"}
    rule = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": best, "y1": best, "line": dashed}
    spec: Figure = compose(data, x, axis(_titled(tuned), nticks=5), height=220, shapes=[rule])
    return figure(spec, label=f"{tuned.metric} over {key}")


def _trials(tuned: Tuned) -> str:
    keys = list(dict.fromkeys(key for trial in tuned.trials for key in trial.options))
    rows = []
    for trial in sorted(tuned.trials, key=lambda t: _rank(t, tuned.higher_is_better)):
        state = f'{trial.state}<small class="under">{escape(trial.error)}</small>' if trial.error else trial.state
        cells = [_number(trial.score, plain(trial.score)), _number(len(trial.epochs), str(len(trial.epochs)))]
        cells += [_number(trial.options.get(key), escape(shown(trial.options.get(key, "")))) for key in keys]
        rows.append([f"{trial.number}", f"<td>{state}</td>", *cells])
    head = ["trial", "state", escape(tuned.metric), "epochs", *(escape(key) for key in keys)]
    return titled("Trials", table(head, rows, numbers=len(head) - 2, css="sortable"))


def _number(value: Any, text: str) -> str:
    """A cell that sorts by its value."""
    key = f' data-value="{value!r}"' if isinstance(value, int | float) and not isinstance(value, bool) else ""
    return f'<td class="number"{key}>{text}</td>'


def _scored(tuned: Tuned) -> list[tuple[Trial, float]]:
    return [(trial, trial.score) for trial in tuned.trials if trial.score is not None]


def _cut_short(tuned: Tuned) -> list[tuple[Trial, float]]:
    """Trials that were pruned, at the best epoch they had."""
    pick = max if tuned.higher_is_better else min
    return [(trial, pick(trial.epochs)) for trial in tuned.trials if trial.state == "pruned" and trial.epochs]


def _rank(trial: Trial, higher_is_better: bool) -> tuple[bool, float]:
    score = 0.0 if trial.score is None else trial.score
    return trial.score is None, -score if higher_is_better else score


def _titled(tuned: Tuned) -> str:
    return f"{tuned.metric} ({'higher' if tuned.higher_is_better else 'lower'} is better)"


def _dots(x: Sequence[Any], y: Sequence[float], names: Sequence[str], marker: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": list(x),
        "y": list(y),
        "text": list(names),
        "marker": dict(marker),
        "hovertemplate": "%{text}<br>%{x:.4g}: %{y:.4g}<extra></extra>",
    }
