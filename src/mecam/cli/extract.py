"""`mecam extract`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mecam.cli.console import err, one_line, out, print_json, print_place, progress
from mecam.cli.data import TASK_HELP, parse_task

if TYPE_CHECKING:
    from mecam.features.extraction_store import ExtractReport

__all__ = ["SOME_FAILED", "AsrModel", "Language", "Longest", "Shortest", "UseAsr", "extract", "left_out_note"]
__all__ += ["speech_model"]

SOME_FAILED = 3
"""Exit code when some of the files gave nothing."""
MAX_LISTED = 20

UseAsr = Annotated[bool, typer.Option("--asr", help="Transcribe the speech; needs the extra `asr`.")]
AsrModel = Annotated[
    str | None,
    typer.Option(
        help="faster-whisper model: tiny, base, small, medium, large-v3, or a folder. [default: the one that "
        "`mecam assets fetch asr` fetched, else small]"
    ),
]
Language = Annotated[str | None, typer.Option(help="Language of the speech, such as en. [default: detected]")]
Shortest = Annotated[float, typer.Option("--min-seconds", min=0.0, help="Merge shorter utterances with a neighbour.")]
Longest = Annotated[float, typer.Option("--max-seconds", min=0.5, help="Cut longer recordings into utterances.")]


def speech_model(asr: bool, model: str | None, language: str | None) -> str | None:
    """The speech model that was asked for; None if none was."""
    from mecam.features.text.asr import default_model

    return (model or default_model(language)) if asr else None


def extract(
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT...", help="Folders, files, patterns, or .txt lists of paths.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="STORE", help="Store to create.")],
    labels: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Label table (mecam's or MELD's); repeatable. [default: label.csv in the folder]"
        ),
    ] = None,
    extractor: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="mecam-audio, mecam-prosody, mecam-vision, mecam-blendshapes, mecam-face, egemaps or speech:MODEL; "
            "repeatable, one per modality; see docs/video.md. [default: mecam-audio and mecam-vision]",
        ),
    ] = None,
    asr: UseAsr = False,
    asr_model: AsrModel = None,
    language: Language = None,
    shortest: Shortest = 1.0,
    longest: Longest = 15.0,
    align: Annotated[bool, typer.Option("--align-words", help="Average the features over each word.")] = False,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Number of processes. [default: one per core]")
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            metavar="DEVICE",
            help="Compute the networks of faces and speech by PyTorch on this device, such as cuda, in batches over "
            "the recordings; needs the extra `train`. [default: the CPU, without PyTorch]",
            show_default=False,
        ),
    ] = "",
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the data set. [default: the folder's]")
    ] = None,
    task: Annotated[str | None, typer.Option(help=TASK_HELP)] = None,
    corrupt: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND:SEVERITY",
            help="Corrupt the recordings first, as in babble:3 (severity 1 to 5); repeatable. Audio: white, pink, "
            "babble, music, burst, reverb, clipping, lowpass, packets, mute. Video: blur, dark, occlusion, pixels, "
            "compression, blank, frozen, drops. any: drawn at random for each recording.",
        ),
    ] = None,
    extent: Annotated[
        float,
        typer.Option("--corrupt-extent", help="Fraction of every 10 seconds to corrupt, 0 to 1."),
    ] = 1.0,
    corrupt_seed: Annotated[
        int,
        typer.Option(min=0, help="Random seed of the corruption."),
    ] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the store if it exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Extract voice, face and text features from video and sound files into a store.

    Reads folders in the MMSA-FET layout (label.csv, Raw/video_id/clip_id.mp4), folders of clips, and lists. The text
    of a clip is the transcript of the same name (clip.srt, .vtt, .json, .csv, .txt). After an interruption, give the
    same command again: it continues. Exit code 3: some files failed, the others are in the store.

    Example: mecam extract videos/mosi -o stores/mosi --jobs 2

    Example: mecam extract videos/mosi -o stores/mosi-babble --corrupt babble:3 --corrupt-extent 0.3
    """
    from mecam.features.corruption import parse_corruption
    from mecam.features.extract import extract as run
    from mecam.features.extractor import DEFAULT, chosen
    from mecam.features.recording import Recipe
    from mecam.features.segmentation import Lengths

    names = tuple(extractor or DEFAULT)
    recipe = Recipe(
        extractors=names,
        asr=speech_model(asr, asr_model, language),
        language=language,
        lengths=Lengths(shortest, longest),
        aligned=tuple(chosen(names)) if align else (),
        corruptions=tuple(parse_corruption(text, extent=extent, seed=corrupt_seed) for text in corrupt or ()),
        device=device,
    )
    with progress("extracting") as callback:
        report = run(
            inputs,
            output,
            labels=labels or None,
            recipe=recipe,
            jobs=jobs,
            name=name,
            task=parse_task(task),
            overwrite=overwrite,
            progress=callback,
        )
    if as_json:
        print_json(report.to_json())
    else:
        _show(report)
        print_place("store", output)
    if report.failures:
        raise typer.Exit(SOME_FAILED)


def left_out_note(names: Sequence[str]) -> str:
    """A sentence about the files in the folders that are not recordings."""
    shown = ", ".join(map(one_line, names[:MAX_LISTED])) + (" …" if len(names) > MAX_LISTED else "")
    files = "1 file was" if len(names) == 1 else f"{len(names)} files were"
    return f"{files} ignored, because they are not recordings: {shown}"


def _show(report: "ExtractReport") -> None:
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
