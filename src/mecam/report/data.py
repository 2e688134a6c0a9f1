"""What `mecam data`, `mecam extract` and `mecam assets` show in the terminal, as tables."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mecam.report.table import Cell, Table, Tone

if TYPE_CHECKING:  # these bring torch, which `mecam data --help` need not wait for
    from mecam.data.operations.describe import Description
    from mecam.features.extraction_store import ExtractReport
    from mecam.features.vision.model_files import Asset
    from mecam.fetched import Fetched

__all__ = [
    "asset_table",
    "description_tables",
    "description_title",
    "failure_table",
    "fetched_table",
    "file_lines",
    "finding_table",
]

TONES: Mapping[str, Tone] = {"error": "worse", "warning": "warning", "note": "muted"}
BAR = 24
"""Characters of the longest bar of a histogram."""


def description_title(description: "Description") -> str:
    """What a store is; of several targets, what each is."""
    lines = [f"{description.name}: {description.utterances} utterances, {description.task.description}"]
    if len(description.targets) > 1:
        lines.append("targets, the first by default:")
        lines += [f"{name}: {task.description}" for name, task in description.targets.items()]
    return "\n".join(lines)


def description_tables(description: "Description") -> list[Table]:
    """Splits, streams, and the histogram of the labels of each target of a store."""
    splits, (first, *others) = description.splits.items(), description.targets
    labels = [_labels(first if others else "label", {name: split.labels for name, split in splits})]
    labels += [_labels(other, {name: split.others[other] for name, split in splits}) for other in others]
    return [_splits(description), _streams(description), *labels]


def file_lines(files: Sequence[Mapping[str, Any]], ignored: Sequence[str]) -> str:
    """What every file of an import was taken for, and which were left alone."""
    lines = [f"{file['name']}: {file['layout']}" + (f" ({file['form']})" if file.get("form") else "") for file in files]
    if ignored:
        lines.append(f"not read, because the layout is unknown: {', '.join(ignored)}")
    return "\n".join(lines)


def finding_table(findings: Iterable[tuple[str, str, int, str, Sequence[str]]]) -> Table:
    """What an import, an extraction or a check found.

    Args:
        findings: level (empty where there is none), what, how many, explanation or rule, examples.
    """
    rows = []
    for level, what, count, text, examples in findings:
        tone = TONES.get(level, "")
        shown = ", ".join(str(example) for example in examples[:3])
        rows.append([Cell(level, tone=tone), Cell(what, tone=tone), str(count), text, Cell(shown, tone="muted")])
    return Table(("", "what", "count", "meaning", "examples"), rows, words=frozenset({0, 1, 3, 4}))


def failure_table(report: "ExtractReport", limit: int) -> Table:
    """The first recordings of an extraction that could not be extracted, and why."""
    rows = [[failure.id, failure.file, failure.reason] for failure in report.failures[:limit]]
    title = f"{len(report.failures)} could not be extracted"
    return Table(("clip", "file", "reason"), rows, title, words=frozenset({0, 1, 2}))


def asset_table(assets: Sequence[tuple["Asset", Path | None]]) -> Table:
    """The model files that extraction needs, and where they are."""
    rows = []
    for asset, path in assets:
        where = Cell("not here", tone="warning") if path is None else Cell(str(path.parent))
        rows.append([asset.name, asset.purpose, f"{asset.size:,}", asset.licence, asset.sha256[:12] + "…", where])
    head = ("file", "what it does", "bytes", "licence", "SHA-256", "where")
    return Table(head, rows, words=frozenset({0, 1, 3, 4, 5}))


def fetched_table(models: Sequence[tuple["Fetched", Path | None]]) -> Table:
    """The models that are fetched on request, from where, and where they are."""
    rows = []
    for model, path in models:
        where = Cell("not here", tone="warning") if path is None else Cell(str(path))
        rows.append([model.name, model.purpose, f"{model.size:,}", model.licence, model.sources[0].packages[0], where])
    head = ("model", "what it does", "bytes", "licence", "package", "where")
    return Table(head, rows, words=frozenset({0, 1, 3, 4, 5}))


def _splits(description: "Description") -> Table:
    head, rows = description.split_rows()
    return Table(head, rows)


def _streams(description: "Description") -> Table:
    rows = []
    for modality, lengths in description.lengths.items():
        spec = description.specs.get(modality)
        made = ["", "words of the transcript", ""]
        if spec is not None:
            made = [str(spec.width), f"{spec.extractor} {spec.version}".strip(), "words" if spec.aligned else ""]
        numbers = (lengths.low, lengths.median, lengths.high, lengths.longest, lengths.total)
        rows.append([modality, *made, *(f"{number:.10g}" for number in numbers)])
    head = ("stream", "width", "made by", "aligned", "shortest", "median", "95 %", "longest", "frames")
    return Table(head, rows, words=frozenset({0, 2, 3}))


def _labels(target: str, splits: Mapping[str, Mapping[str, int]]) -> Table:
    """How often each label of a target occurs in each split."""
    totals = {bar: sum(labels[bar] for labels in splits.values()) for bar in next(iter(splits.values()))}
    largest = max(totals.values(), default=0) or 1
    rows = [
        [bar, *(str(labels[bar]) for labels in splits.values()), "█" * round(BAR * total / largest)]
        for bar, total in totals.items()
    ]
    names = [_split_name(name) for name in splits]
    return Table((target, *names, "all"), rows, words=frozenset({0, len(names) + 1}))


def _split_name(name: str) -> str:
    from mecam.data.operations.describe import UNASSIGNED

    return name or UNASSIGNED
