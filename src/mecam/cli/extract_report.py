"""What `mecam extract`, and `mecam data merge` of its shards, say of the recordings."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mecam.cli.console import err, one_line, out

if TYPE_CHECKING:
    from mecam.features.extraction_store import ExtractReport

__all__ = ["SOME_FAILED", "left_out_note", "show_report"]

SOME_FAILED = 3
"""Exit code when some of the files gave nothing."""
MAX_LISTED = 20


def left_out_note(names: Sequence[str]) -> str:
    """A sentence about the files in the folders that are not recordings."""
    shown = ", ".join(map(one_line, names[:MAX_LISTED])) + (" …" if len(names) > MAX_LISTED else "")
    files = "1 file was" if len(names) == 1 else f"{len(names)} files were"
    return f"{files} ignored, because they are not recordings: {shown}"


def show_report(report: "ExtractReport") -> None:
    """Print what an extraction found."""
    from mecam.report.data import failure_table, finding_table

    reused = f" ({report.reused} of them extracted earlier)" if report.reused else ""
    rows = ", ".join(f"{count} {modality}" for modality, count in sorted(report.rows.items()))
    out.print(f"{report.recordings} recordings{reused}, {report.utterances} utterances, time steps: {rows or 'none'}")
    for modality, reasons in sorted(report.absent.items()):
        for reason, count in reasons.items():
            out.print(f"{count} recordings have no {modality}: {reason}")
    for note in report.notes:
        out.print(note)
    if report.left_out:
        out.print(left_out_note(report.left_out))
    if report.findings:
        found = [("", f.kind, f.count, f.rule, f.examples) for f in report.findings]
        out.print(finding_table(found).terminal())
    for name, sentence in report.oddities[:MAX_LISTED]:
        err.print(f"{name}: {sentence}")
    if len(report.oddities) > MAX_LISTED:
        err.print(f"and {len(report.oddities) - MAX_LISTED} more remarks; --json lists all of them")
    if report.failures:
        out.print(failure_table(report, MAX_LISTED).terminal())
        if len(report.failures) > MAX_LISTED:
            out.print(f"and {len(report.failures) - MAX_LISTED} more; --json lists all of them")
