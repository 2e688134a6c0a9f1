"""Standings as one HTML page: a table that sorts by any column, intervals side by side, and how it was made."""

from importlib import resources

from mecam.evaluation.comparison.contenders import CONSTANT
from mecam.evaluation.comparison.ranks import Ranks
from mecam.evaluation.comparison.standings import Score, Standing, Standings
from mecam.evaluation.metrics import Metric
from mecam.report.comparison.relations import mistakes_section, ranks_section
from mecam.report.comparison.words import COSTS, EXPLANATION, costs, delta, explained_delta, marked, p_value, ranked
from mecam.report.figures import forest
from mecam.report.markup import definitions, details, escape, figure, interval, table, titled
from mecam.report.page import document
from mecam.report.run.results import LEADING

__all__ = ["comparison_page", "leading", "sortable_head"]

FIRST_SHOWN = 4
"""Metrics whose intervals are drawn openly; those of the others are folded away."""


def comparison_page(standings: Standings) -> str:
    """The whole page."""
    title = f"{len(standings.rows)} models on {standings.data}"
    sections = [
        ("table", "Table", _table(standings)),
        ("intervals", "Intervals", _intervals(standings)),
        ("baseline", "Against the baseline", _against_baseline(standings)),
        ("tests", "Tests", _tests(standings)),
        ("ranks", "Ranks", ranks_section(standings.ranks)),
        ("mistakes", "Mistakes", mistakes_section(standings.overlap)),
        ("missing", "Missing", _missing(standings)),
        ("made", "How it was made", _made(standings)),
    ]
    return document(title, _header(standings), sections)


def leading(standings: Standings) -> list[Metric]:
    """The metrics that a reader looks at first, in their order."""
    known = standings.metrics
    return [known[name] for name in LEADING if name in known]


def sortable_head() -> str:
    """What a page needs once for its tables of class `sortable` to sort by a click on a heading."""
    style, script = _asset("sort.css"), _asset("sort.js")
    return f"<style>\n{style}</style><script>\n{script}</script>"


def _header(standings: Standings) -> str:
    runs = [row for row in standings.rows if row.name != CONSTANT]
    return (
        f'{sortable_head()}<p class="kicker">mecam comparison</p>'
        f"<h1>{len(runs)} runs on {escape(standings.data)}</h1>"
        f'<p class="lede">{_summary(standings)}</p>'
        + "".join(f'<p class="badge">{escape(note)}</p>' for note in standings.notes)
        + f'<p class="note">{escape(standings.split)} split: '
        f"{standings.resampled.of(standings.utterances, standings.videos)}</p>"
    )


def _summary(standings: Standings) -> str:
    """One sentence: the best on the leading metric, and who is tied with it."""
    metric = next((m for m in leading(standings) if any(r.scores[m.name].best for r in standings.rows)), None)
    if metric is None:
        return "No metric is defined for any run."
    best = next(row for row in standings.rows if row.scores[metric.name].best)
    tied = [row.name for row in standings.rows if row.scores[metric.name].tied]
    text = f"By {escape(metric.name)}, <b>{escape(best.name)}</b> is best: {marked(best.scores[metric.name], metric)}"
    if tied:
        return text + f"; the test cannot tell {escape(', '.join(tied))} from it."
    return text + (", and significantly so." if len(standings.rows) > 2 else ".")


def _table(standings: Standings) -> str:
    metrics = list(standings.metrics.values())
    head = ["model", *(f"{escape(m.name)} {'↑' if m.higher_is_better else '↓'}" for m in metrics)]
    head += ["rank ↓"] if standings.ranks is not None else []
    head += ["budget", *(escape(fact.title) for fact in costs(standings))]
    rows = []
    for row in standings.rows:
        note = f'<small class="under">{escape(row.note)}</small>' if row.note else ""
        cells = [f"{escape(row.name)}{note}", *(_cell(row.scores[m.name], m) for m in metrics)]
        cells += [_rank_cell(standings.ranks, row.name)] if standings.ranks is not None else []
        cells.append(f'<td class="number">{escape(row.budget)}</td>')
        for fact in costs(standings):
            number = row.facts.get(fact.key)
            key = "" if number is None else f' data-value="{number!r}"'
            cells.append(f'<td class="number"{key}>{escape(fact.shown(row))}</td>')
        rows.append(cells)
    words = EXPLANATION.replace("**bold**", "<b>bold</b>") + " Click a heading to sort by it."
    below = f'<p class="note">{escape(COSTS)}</p>'
    meanings = definitions([(m.name, escape(m.definition)) for m in metrics])
    return titled(
        "All metrics",
        f'<p class="note">{words}</p>',
        table(head, rows, numbers=len(head) - 1, css="sortable"),
        below,
        details("What each metric is (p prediction, t truth)", meanings),
    )


def _rank_cell(ranks: Ranks, name: str) -> str:
    mean, letters = ranked(ranks, name)
    key = f' data-value="{ranks.of(name)!r}"' if mean else ""
    return f'<td class="number"{key}>{mean}<small class="under">{letters}</small></td>'


def _cell(score: Score, metric: Metric) -> str:
    text = escape(marked(score, metric))
    text = f"<b>{text}</b>" if score.best else text
    ends = f'<small class="under">{interval(score.ci95, metric)}</small>' if score.ci95 else ""
    key = "" if score.mean is None else f' data-value="{score.mean!r}"'
    return f'<td class="number"{key}>{text}{ends}</td>'


def _intervals(standings: Standings) -> str:
    drawn = [_forest(standings, metric) for metric in leading(standings)]
    rest = [_forest(standings, m) for m in standings.metrics.values() if m.name not in LEADING]
    shown, folded = drawn[:FIRST_SHOWN], [*drawn[FIRST_SHOWN:], *rest]
    note = "Dots are means over seeds, bars 95 % intervals, ticks single seeds. The dotted line is the best mean."
    return titled(
        "Intervals",
        f'<p class="note">{note} Intervals that overlap may still belong to different models: the tests below compare '
        "the same utterances.</p>",
        f'<div class="pair">{"".join(shown)}</div>',
        details("The other metrics", f'<div class="pair">{"".join(folded)}</div>') if folded else "",
    )


def _forest(standings: Standings, metric: Metric) -> str:
    named = [(row.name, row.scores[metric.name]) for row in standings.rows]
    best = next((score.mean for _, score in named if score.best), None)
    rows = [(name, score.mean, score.ci95, score.per_seed if len(score.per_seed) > 1 else ()) for name, score in named]
    better = "higher" if metric.higher_is_better else "lower"
    spec = forest(rows, f"{metric.name} ({better} is better)", line=best, percent=metric.fraction)
    return figure(
        spec, f"<b>{escape(metric.name)}</b>: {escape(metric.definition)}.", label=f"{metric.name} of all runs"
    )


def _against_baseline(standings: Standings) -> str:
    if standings.baseline is None:
        return ""
    metrics = list(standings.metrics.values())
    rows = []
    for row in standings.rows:
        if any(score.against_baseline for score in row.scores.values()):
            rows.append([escape(row.name), *(_delta_cell(row.scores[m.name], m) for m in metrics)])
    head = ["model", *(f"Δ {escape(m.name)} {'↑' if m.higher_is_better else '↓'}" for m in metrics)]
    return titled(
        f"Against {standings.baseline}",
        f'<p class="note">{escape(explained_delta(standings.baseline))}</p>',
        table(head, rows, numbers=len(metrics), css="sortable"),
    )


def _delta_cell(score: Score, metric: Metric) -> str:
    difference = score.against_baseline
    if difference is None or difference.value is None:
        return '<td class="number">—</td>'
    number, _, test = delta(difference, metric).partition(" ")
    better = (difference.value > 0) == metric.higher_is_better
    css = "" if not difference.significant else ' class="better"' if better else ' class="worse"'
    under = f'<small class="under">{escape(test)}</small>'
    return f'<td class="number" data-value="{difference.value!r}"><span{css}>{number}</span>{under}</td>'


def _tests(standings: Standings) -> str:
    """Every run against the best of each leading metric."""
    parts = []
    for metric in leading(standings):
        tested = [row for row in standings.rows if row.scores[metric.name].against_best]
        best = next((row for row in standings.rows if row.scores[metric.name].best), None)
        if best is None or not tested:
            continue
        rows = [_test_row(row, metric) for row in tested]
        head = ["model", "difference", "95 % interval", "p", "p adjusted"]
        parts.append(f"<h3>{escape(metric.name)}: against {escape(best.name)}</h3>" + table(head, rows, numbers=4))
    if not parts:
        return ""
    note = (
        "Paired permutation test: if two models were alike, it would not matter which of them answered the utterances "
        "of a recording (of a speaker, where speakers are resampled). Differences are row minus best, shares "
        "in points, with a bootstrap interval. The best was chosen by the same figures, which favours it a little."
    )
    return titled("Tests against the best", f'<p class="note">{note}</p>', *parts)


def _test_row(row: Standing, metric: Metric) -> list[str]:
    difference = row.scores[metric.name].against_best
    assert difference is not None
    number = delta(difference, metric).partition(" ")[0]
    ends = interval(difference.ci95, metric, points=True)
    plain, adjusted = p_value(difference.p_value), p_value(difference.p_holm)
    return [escape(row.name), number, ends, escape(plain), escape(adjusted)]


def _missing(standings: Standings) -> str:
    if not standings.missing:
        return ""
    pairs = [(name, escape(reason)) for name, reason in standings.missing.items()]
    return titled("Not in the table", definitions(pairs))


def _made(standings: Standings) -> str:
    pairs = []
    for row in standings.rows:
        if row.run:
            seeds = f"{row.seeds} seed{'s' if row.seeds > 1 else ''}"
            command = f"<br><code>{escape(row.command)}</code>" if row.command else ""
            options = f"<br>not as by default: <code>{escape(', '.join(row.settings))}</code>" if row.settings else ""
            told = f"{escape(row.model)}, {seeds}, {escape(row.budget)}, <code>{escape(row.run)}</code>"
            pairs.append((row.name, f"{told}{command}{options}"))
    return titled("How it was made", definitions(pairs))


def _asset(name: str) -> str:
    return resources.files("mecam.report.comparison").joinpath(name).read_text(encoding="utf-8")
