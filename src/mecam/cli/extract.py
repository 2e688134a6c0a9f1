"""`mecam extract`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mecam.cli.console import err, one_line, out, print_json, print_place, progress
from mecam.cli.data import TASK_HELP, parse_task
from mecam.cli.extract_report import MAX_LISTED, SOME_FAILED, show_report
from mecam.cli.ray import RayAddress
from mecam.errors import ConfigError

if TYPE_CHECKING:
    from mecam.features.shards import ShardReport

__all__ = ["AsrModel", "Language", "Longest", "Shortest", "UseAsr", "extract"]

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
        int | None,
        typer.Option("--jobs", "-j", min=1, help="Number of processes. [default: one per core, with --device two]"),
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
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER/COUNT",
            help="Extract only this share of the recordings, such as 3/8, to a folder that `mecam data merge` makes "
            "the store of, with the other shares.",
        ),
    ] = None,
    ray: RayAddress = None,
    parts: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="Folder, or URL for fsspec such as s3://bucket/parts, that keeps what was extracted until the store "
            "is whole; machines of a cluster share it. [default: beside the store]",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the store if it exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Extract voice, face and text features from video and sound files into a store.

    Reads folders in the MMSA-FET layout (label.csv, Raw/video_id/clip_id.mp4), folders of clips, and lists. The text
    of a clip is the transcript of the same name (clip.srt, .vtt, .json, .csv, .txt). After an interruption, give the
    same command again: it continues. Exit code 3: some files failed, the others are in the store.

    The store is the same for any number of processes, machines (--ray) or shares (--shard); see docs/clusters.md.

    Example: mecam extract videos/mosi -o stores/mosi --jobs 2

    Example: mecam extract videos/mosi -o stores/mosi-babble --corrupt babble:3 --corrupt-extent 0.3

    Example: mecam extract videos/mosi -o shards/3 --shard 3/8
    """
    from mecam.features.extract import extract_plan
    from mecam.features.extract_options import recipe_of, workers_of
    from mecam.features.extraction_plan import plan_extraction
    from mecam.features.extraction_store import ExtractReport
    from mecam.features.shards import Shard, ShardReport, extract_shard

    if shard is not None and (ray is not None or parts is not None):
        raise ConfigError("--shard divides the recordings itself, and has no use for --ray or --parts", where="--shard")
    recipe = recipe_of(
        extractor=extractor or (),
        asr=asr,
        asr_model=asr_model,
        language=language,
        min_seconds=shortest,
        max_seconds=longest,
        align_words=align,
        corrupt=corrupt or (),
        corrupt_extent=extent,
        corrupt_seed=corrupt_seed,
        device=device,
    )
    which, workers = None if shard is None else Shard.parse(shard), workers_of(ray, jobs)
    with progress("extracting") as callback:
        plan = plan_extraction(inputs, recipe, labels=labels or None, name=name, task=parse_task(task))
        done: ExtractReport | ShardReport
        if which is None:
            done = extract_plan(
                plan, recipe, output, workers=workers, parts=parts, overwrite=overwrite, progress=callback
            )
        else:
            done = extract_shard(plan, recipe, output, which, workers=workers, overwrite=overwrite, progress=callback)
    if as_json:
        print_json(done.to_json())
    elif isinstance(done, ExtractReport):
        show_report(done)
        print_place("store", output)
    else:
        _show_shard(done)
        print_place("shard", output)
    if done.failures:
        raise typer.Exit(SOME_FAILED)


def _show_shard(report: "ShardReport") -> None:
    reused = f" ({report.reused} of them extracted earlier)" if report.reused else ""
    out.print(f"shard {report.shard}: {report.recordings} of {report.all_recordings} recordings{reused}")
    for name, reason in list(report.failures.items())[:MAX_LISTED]:
        err.print(f"{one_line(name)}: {one_line(reason)}", markup=False)
    if len(report.failures) > MAX_LISTED:
        err.print(f"and {len(report.failures) - MAX_LISTED} more failures; --json lists all of them")
