"""How `mecam data` shows what it found: Rich tables made from the reports' own JSON."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:  # these bring torch, which `mecam --help` need not wait for
    from mecam.data.operations.describe import Description

__all__ = ["description_view", "files_view", "findings_view"]

COLOURS = {"error": "bold red", "warning": "yellow", "note": "dim"}


def description_view(description: "Description") -> RenderableType:
    """Splits, streams and label histogram of a store."""
    title = Text(f"{description.name}: {description.utterances} utterances, {description.task.description}")
    splits, (first, *others) = description.splits.items(), description.targets
    labels = [_labels(first if others else "label", {name: split.labels for name, split in splits})]
    for other in others:
        labels.append(_labels(other, {name: split.others[other] for name, split in splits}))
    views: list[RenderableType] = [title, _splits(description), _streams(description), labels[0]]
    if others:
        listed = (f"{name}: {task.description}" for name, task in description.targets.items())
        views = [title, Text("\n".join(["targets, the first by default:", *listed])), *views[1:3], *labels]
    return Group(*views)


def files_view(files: Sequence[Mapping[str, Any]], ignored: Sequence[str]) -> RenderableType:
    """What every file of an import was taken for, and which were left alone."""
    lines = [f"{file['name']}: {file['layout']}" + (f" ({file['form']})" if file.get("form") else "") for file in files]
    if ignored:
        lines.append(f"not read, as they have no known layout: {', '.join(ignored)}")
    return Text("\n".join(lines))


def findings_view(rows: Sequence[tuple[str, str, int, str, Sequence[str]]]) -> RenderableType:
    """A table of findings.

    Args:
        rows: level or kind, what, how many, explanation or rule, examples.
    """
    table = _table("", "what", ">count", "", "examples")
    for level, what, count, text, examples in rows:
        style = COLOURS.get(level, "")
        shown = ", ".join(str(example) for example in examples[:3])
        table.add_row(Text(level, style), Text(what, style), str(count), Text(text), Text(shown, "dim"))
    return table


def _splits(description: "Description") -> Table:
    modalities = list(description.lengths)
    table = _table("split", ">utterances", ">videos", ">speakers", ">labelled", *(f">{m}" for m in modalities))
    for name, split in description.splits.items():
        counts = [split.utterances, split.videos, split.speakers, split.labelled]
        present = [split.present.get(modality, 0) for modality in modalities]
        table.add_row(name or "(unassigned)", *(str(count) for count in counts + present))
    return table


def _streams(description: "Description") -> Table:
    table = _table("stream", ">width", "made by", "aligned", ">shortest", ">median", ">95 %", ">longest", ">rows")
    for modality, lengths in description.lengths.items():
        spec = description.specs.get(modality)
        made = (
            ("", "words of the transcript", "")
            if spec is None
            else (str(spec.width), f"{spec.extractor} {spec.version}".strip(), "words" if spec.aligned else "")
        )
        numbers = (
            str(lengths.low),
            f"{lengths.median:g}",
            f"{lengths.high:g}",
            str(lengths.longest),
            str(lengths.total),
        )
        table.add_row(modality, *made, *numbers)
    return table


def _labels(target: str, splits: Mapping[str, Mapping[str, int]]) -> Table:
    """How often each label of a target occurs in each split."""
    table = _table(target, *(f">{name or '(unassigned)'}" for name in splits), "")
    totals = {bar: sum(labels[bar] for labels in splits.values()) for bar in next(iter(splits.values()))}
    most = max(totals.values(), default=0) or 1
    for bar, total in totals.items():
        table.add_row(
            bar, *(str(labels[bar]) for labels in splits.values()), Text("█" * round(24 * total / most), "cyan")
        )
    return table


def _table(*columns: str) -> Table:
    """An empty table; a heading that starts with > is a column of numbers."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in columns:
        table.add_column(Text(heading.removeprefix(">")), justify="right" if heading.startswith(">") else "left")
    return table
