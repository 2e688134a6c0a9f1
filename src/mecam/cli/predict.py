"""`mecam predict`."""

from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mecam.cli.console import err, one_line, print_place, progress
from mecam.cli.encoders import AllowEncoder
from mecam.cli.extract import AsrModel, Language, Longest, Shortest
from mecam.cli.extract_report import SOME_FAILED, left_out_note
from mecam.cli.fetched_model import MaxDownload, local_model
from mecam.cli.pages import Copy, Pages, Preview, about_model
from mecam.cli.predict_inputs import Found, sorted_out
from mecam.cli.predict_outputs import Every, Format, Output, seconds_of
from mecam.cli.predict_work import OnCluster, predict_others, predict_recordings
from mecam.cli.ray import RayAddress
from mecam.errors import ConfigError, DataError

if TYPE_CHECKING:
    from mecam.prediction.predictor import Predictor

__all__ = ["Model", "Tier", "TierName", "predict"]


class TierName(str, Enum):
    """Which parts of the built-in model are used."""

    research = "research"
    permissive = "permissive"


Model = Annotated[
    Path | None,
    typer.Option(
        "--model",
        "-m",
        metavar="RUN",
        callback=local_model,
        help="Run folder, a folder of `mecam export`, or hf:ORG/NAME@REVISION of the hub. [default: the built-in one]",
    ),
]
Tier = Annotated[
    TierName, typer.Option(help="Parts of the built-in model. permissive: none that is for research only.")
]


def predict(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Recordings, folders or patterns of them ('clips/*.mp4'), sentences, text files with one sentence per "
            "line, - for standard input, or stores.",
        ),
    ],
    model: Model = None,
    tier: Tier = TierName.research,
    all_emotions: Annotated[
        bool, typer.Option("--all-emotions", help="Built-in model: 28 emotions of words instead of 7 groups.")
    ] = False,
    split: Annotated[str | None, typer.Option(help="Predict only this split of a store.")] = None,
    format_: Annotated[Format, typer.Option("--format", help="Format of the output.")] = Format.table,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="Write a .csv, .parquet, .jsonl, .json, .vtt or .eaf file, or a folder of --format files.",
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Write a page per recording; give a folder for several.")
    ] = None,
    preview: Preview = Copy.auto,
    transcript: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Transcript: txt, SRT, VTT, CSV or JSON. [default: the file of the same name]"
        ),
    ] = None,
    asr: Annotated[
        bool | None,
        typer.Option(
            "--asr/--no-asr",
            help="Transcribe the speech; needs the extra `asr`. [default: the built-in model does where it can]",
        ),
    ] = None,
    asr_model: AsrModel = None,
    language: Language = None,
    every: Every = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|auto",
            help="Recording of the same person speaking calmly, to which voice and face are then relative; auto: the "
            "calm parts of the recording itself.",
        ),
    ] = None,
    person: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Whose face is read: 1 is who appears first. [default: the speaker's]"),
    ] = None,
    listener: Annotated[
        bool, typer.Option("--listener", help="Read the face of the most visible person who is not speaking.")
    ] = False,
    shortest: Shortest = 1.0,
    longest: Longest = 15.0,
    allow_encoder: AllowEncoder = False,
    max_download: MaxDownload = None,
    ray: RayAddress = None,
) -> None:
    """Predict videos, sound files, sentences or a store, with the built-in model or with your own.

    A recording gets a prediction for each utterance and for the whole, with modalities that disagree or are missing;
    --html shows them over time. The id of a sentence in a file is its line number. Exit code 3: some recordings could
    not be predicted. `mecam models --ready` describes the built-in model.

    Example: mecam predict clip.mp4

    Example: mecam predict clip.mp4 --transcript clip.srt --model runs/mine --html clip.html

    Example: mecam predict clips --ray auto --output scores.csv

    Example: cut -f2 reviews.tsv | mecam predict - --output scores.csv
    """
    from mecam.features.text.asr import speech_model

    found = sorted_out(inputs)
    place = Output(output, format_)
    place.check(found)
    moments = seconds_of(every)
    _tell(found)
    if transcript is not None and len(found.recordings) != 1:
        raise DataError("--transcript needs exactly one recording", where=f"{len(found.recordings)} are given")
    if person is not None and listener:
        raise ConfigError("--person and --listener are two answers to one question", fix="give one of them")
    if html is not None and not found.recordings:
        raise DataError("--html needs a recording, and none is given")
    paged = None if html is None else Pages(html, several=len(found.recordings) > 1 or found.folders)
    predictor = _load(model, tier, all_emotions=all_emotions)
    for note in predictor.notes:
        err.print(note, style="yellow", soft_wrap=True)
    options = {
        "transcript": transcript,
        "asr": "" if asr is False else speech_model(asr is True or asr_model is not None, asr_model, language),
        "language": language,
        "lengths": (shortest, longest),
        "baseline": baseline,
        "every": predictor.page_every if moments is None and html is not None else moments,
        "person": person or ("listener" if listener else "speaker"),
        "words": html is not None,
    }
    cluster = None if ray is None else _cluster(ray, model, tier, all_emotions=all_emotions, allow=allow_encoder)
    recordings, failures = predict_recordings(predictor, found.recordings, options, cluster=cluster)
    others = predict_others(predictor, found, split)
    told = recordings if moments is not None else [replace(one, moments=()) for one in recordings]
    place.put(told, others)
    if paged is not None:
        with progress("writing pages"):
            pages = paged.write(recordings, predictor.task, about_model(model, predictor), preview)
        print_place("page" if len(pages) == 1 else f"{len(pages)} pages and their index", paged.place)
    if failures:
        from mecam.report.predictions import failures_table

        err.print(failures_table(failures).terminal())
        raise typer.Exit(SOME_FAILED)


def _load(model: Path | None, tier: TierName, *, all_emotions: bool) -> "Predictor":
    """The model that is asked for.

    Raises: ConfigError if options of the built-in one are given with another.
    """
    if model is None:
        from mecam.prediction.built_in import BuiltIn
        from mecam.runs.run import newest_run

        if (own := newest_run(Path("runs"))) is not None:
            err.print(f"A trained model is in {own}; --model {own} uses it.", soft_wrap=True)
        return BuiltIn(tier.value, all_emotions=all_emotions)
    if all_emotions or tier is not TierName.research:
        raise ConfigError("--tier and --all-emotions are options of the built-in model", where=f"--model {model}")
    from mecam.prediction.predictor import load

    with progress(f"loading {model}"):
        return load(model)


def _cluster(ray: str, model: Path | None, tier: TierName, *, all_emotions: bool, allow: bool) -> OnCluster:
    from mecam.prediction.ray_prediction import ModelChoice

    return OnCluster(ray, ModelChoice(model, tier.value, all_emotions, allow))


def _tell(found: Found) -> None:
    """Print remarks about the inputs."""
    for note in found.notes:
        err.print(one_line(note), style="yellow")
    if found.left_out:
        err.print(left_out_note(found.left_out), style="yellow")
