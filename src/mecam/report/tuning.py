"""The page and the terminal tables of a search: how it went, what mattered, every trial."""

from collections.abc import Sequence
from datetime import date
from itertools import accumulate

import altair as alt

from mecam.config import Between, Choice
from mecam.experiments.search import Trial, Tuned
from mecam.report.charts import chart_of, layered, spec
from mecam.report.format import UNDEFINED, named, percent, plural, value
from mecam.report.page import Chart, page, section
from mecam.report.scores import metric_head
from mecam.report.table import Cell, Table

__all__ = ["best_table", "search_table", "tuning_page"]

STATES = ("complete", "pruned", "failed")
LUCK = "The best of many trials is slightly optimistic: expect a worse value on test."

RunScores = tuple[Trial, float]


def tuning_page(tuned: Tuned) -> str:
    """One HTML page that needs nothing but a browser."""
    ended = ", ".join(f"{count} {state}" for state in STATES if (count := tuned.count(state)))
    seeds = f", each the mean of {tuned.seeds} seeds" if tuned.seeds > 1 else ""
    options = [] if len(_scored(tuned)) < 2 else [_slice(tuned, key) for key in _scored(tuned)[0][0].options]
    note = (
        "Every complete trial (dot) and every trial that stopped early (ring) by one option at a time; the line is "
        "the best."
    )
    sections = [
        section("best", "Best", heading="The best options", tables=[best_table(tuned)]),
        section("search", "Search", charts=_search(tuned)),
        section("importance", "Importance of options", charts=_importance(tuned)),
        section("options", "Options", texts=[note], charts=options, shown=len(options)),
        section("trials", "Trials", tables=[_trials(tuned)]),
    ]
    return page(
        f"Search of {tuned.model} on {tuned.data}",
        kicker=f"mecam search · {date.today().isoformat()}",
        sections=sections,
        heading=f"{tuned.model} on {tuned.data}",
        lede=(
            f"{plural(len(tuned.trials), 'trial')}{seeds}: {ended}. Chosen by {named(tuned.metric)} on validation; the "
            "test split was not opened."
        ),
    )


def search_table(found: Sequence[Tuned]) -> Table:
    """A row per model: what the search found, what the defaults gave, how the trials ended."""
    metric = found[0].metric
    seeds = f", each the mean of {found[0].seeds} seeds" if found[0].seeds > 1 else ""
    head = ["model", metric_head(metric), "with the defaults", "best trial", *STATES, "most important option"]
    rows = []
    for tuned in found:
        assert tuned.best is not None
        first = UNDEFINED if tuned.defaults is None else value(tuned.defaults.score, tuned.metric)
        counts = [str(tuned.count(state)) for state in STATES]
        mattered = max(tuned.importance, key=lambda key: tuned.importance[key], default=UNDEFINED)
        rows.append(
            [tuned.model, value(tuned.best.score, tuned.metric), first, str(tuned.best.number), *counts, mattered]
        )
    title = f"{found[0].data}: best of {len(found[0].trials)} trials"
    note = f"On validation{seeds}; the test split was not used. {LUCK}"
    return Table(head, rows, title, note, words=frozenset({0, len(head) - 1}))


def best_table(tuned: Tuned) -> Table | None:
    """What the search chose for each option; None where no trial is complete."""
    if tuned.best is None:
        return None
    before = {} if tuned.defaults is None else tuned.defaults.options
    rows = [
        [key, str(tuned.space[key]), _shown(before.get(key, "")), _shown(chosen), percent(tuned.importance.get(key))]
        for key, chosen in tuned.best.options.items()
    ]
    note = f"Trial {tuned.best.number}: {named(tuned.metric)} {value(tuned.best.score, tuned.metric)} on validation"
    if tuned.defaults is not None and tuned.defaults.score is not None:
        note += f"; with the defaults {value(tuned.defaults.score, tuned.metric)}"
    note += f". {LUCK} All of it is in best.yaml, for mecam train --config."
    return Table(("option", "searched", "default", "best", "importance"), rows, "The best options", note)


def _search(tuned: Tuned) -> list[Chart]:
    """The score of every trial, and the best so far."""
    full = _scored(tuned)
    if not full:
        return []
    best = accumulate((score for _, score in full), max if tuned.metric.higher_is_better else min)
    steps = [{"trial": trial.number, "score": score} for (trial, _), score in zip(full, best, strict=True)]
    line = chart_of(steps).mark_line(interpolate="step-after", strokeWidth=1.5, color="var(--accent)")
    x, y = alt.X("trial:Q", title="trial", axis=_whole(len(tuned.trials))), _score_axis(tuned, "score")
    chart = line.encode(x=x, y=y) + _dots(tuned, x, y, {})
    caption = (
        "A dot is a complete trial, a ring one that stopped early, at its best epoch; the line is the best so far."
    )
    if tuned.defaults is not None:
        caption += f" Trial {tuned.defaults.number} is the defaults."
    return [Chart(spec(chart, height=280), f"{tuned.metric.name} of each trial and the best so far", "", caption)]


def _importance(tuned: Tuned) -> list[Chart]:
    """The share of each option."""
    if not tuned.importance:
        return []
    rows = [{"option": key, "share": share} for key, share in tuned.importance.items()]
    chart = (
        chart_of(rows)
        .mark_bar(color="var(--accent)", opacity=0.75)
        .encode(
            x=alt.X("share:Q", title="share of the variance", axis=alt.Axis(format="%", tickCount=5)),
            y=alt.Y("option:N", sort="-x", title=None, axis=alt.Axis(labelLimit=240)),
            tooltip=[alt.Tooltip("option:N"), alt.Tooltip("share:Q", format=".0%")],
        )
    )
    caption = (
        "How much of the difference between complete trials each option accounts for, by functional ANOVA of a forest "
        "(Hutter et al., ICML 2014). With few trials this is a hint."
    )
    return [Chart(spec(chart, height=60 + 28 * len(rows)), "Importance of each option", "", caption)]


def _slice(tuned: Tuned, key: str) -> Chart:
    """The score over one option."""
    where = tuned.space[key]
    if isinstance(where, Choice):
        x = alt.X("option:N", title=key, sort=[str(each) for each in where.values], axis=alt.Axis(labelAngle=0))
    else:
        log = isinstance(where, Between) and where.log
        axis = alt.Axis(tickCount=4, format="~g")
        x = alt.X("option:Q", title=key, scale=alt.Scale(type="log" if log else "linear", zero=False), axis=axis)
    shown = {
        t.number: str(v) if isinstance(where, Choice) else v
        for t in tuned.trials
        if (v := t.options.get(key)) is not None
    }
    chart = _dots(tuned, x, _score_axis(tuned, "score"), shown, only=key)
    if tuned.best is not None:
        rule = chart_of([{"score": tuned.best.score}]).mark_rule(color="var(--muted)", strokeDash=[2, 3])
        chart = layered(rule.encode(y=_score_axis(tuned, "score")), chart)
    return Chart(spec(chart, height=220), f"{tuned.metric.name} over {key}")


def _dots(tuned: Tuned, x: alt.X, y: alt.Y, options: dict[int, object], only: str = "") -> alt.LayerChart:
    """Complete trials as dots, those cut short as rings."""
    layers = []
    for scored, filled in ((_cut_short(tuned), False), (_scored(tuned), True)):
        rows = [
            {"trial": t.number, "score": score, "state": t.state, "option": options.get(t.number)}
            for t, score in scored
            if not only or only in t.options
        ]
        told = [
            alt.Tooltip("trial:Q"),
            alt.Tooltip("score:Q", title=tuned.metric.name, format=".1%" if tuned.metric.fraction else ".4f"),
            alt.Tooltip("state:N"),
        ]
        told += [alt.Tooltip("option:N", title=only)] if only else []
        colour = "var(--accent)" if filled else "var(--muted)"
        dots = chart_of(rows).mark_point(filled=filled, size=60, opacity=0.75, color=colour)
        layers.append(dots.encode(x=x, y=y, tooltip=told))
    return layered(*layers)


def _trials(tuned: Tuned) -> Table:
    """Every trial, the best first."""
    keys = list(dict.fromkeys(key for trial in tuned.trials for key in trial.options))
    rows = []
    for trial in sorted(tuned.trials, key=lambda t: _rank(t, tuned.metric.higher_is_better)):
        state = Cell(trial.state, trial.error, "warning" if trial.error else "")
        cells = [Cell(value(trial.score, tuned.metric), number=trial.score), _number(len(trial.epochs))]
        rows.append([_number(trial.number), state, *cells, *(_number(trial.options.get(key)) for key in keys)])
    head = ("trial", "state", metric_head(tuned.metric), "epochs", *keys)
    return Table(head, rows, words=frozenset({0, 1}), sortable=True)


def _number(given: object) -> Cell:
    """An option's value, that sorts where it is a number."""
    known = isinstance(given, int | float) and not isinstance(given, bool)
    return Cell("" if given is None else _shown(given), number=float(given) if known else None)  # type: ignore[arg-type]


def _shown(given: object) -> str:
    """An option's value, to four digits."""
    return f"{given:.4g}" if isinstance(given, float) else str(given)


def _scored(tuned: Tuned) -> list[RunScores]:
    return [(trial, trial.score) for trial in tuned.trials if trial.score is not None]


def _cut_short(tuned: Tuned) -> list[RunScores]:
    """Trials that were pruned, at the best epoch they had."""
    pick = max if tuned.metric.higher_is_better else min
    return [(trial, pick(trial.epochs)) for trial in tuned.trials if trial.state == "pruned" and trial.epochs]


def _rank(trial: Trial, higher_is_better: bool) -> tuple[bool, float]:
    score = 0.0 if trial.score is None else trial.score
    return trial.score is None, -score if higher_is_better else score


def _score_axis(tuned: Tuned, field: str) -> alt.Y:
    title = f"{tuned.metric.name} ({'higher' if tuned.metric.higher_is_better else 'lower'} is better)"
    return alt.Y(
        f"{field}:Q",
        title=title,
        scale=alt.Scale(zero=False),
        axis=alt.Axis(tickCount=5, format="%" if tuned.metric.fraction else ""),
    )


def _whole(count: int) -> alt.Axis:
    """Ticks at whole numbers only."""
    return alt.Axis(format="d", values=list(range(1, count + 1, max(1, count // 8))))
