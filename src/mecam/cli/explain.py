"""`mecam explain`: explanations of utterances or of a recording, and tests of explanations."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from mecam.cli.console import err, out, print_place, progress
from mecam.cli.encoders import AllowEncoder
from mecam.cli.extract import AsrModel, Language, Longest, Shortest, UseAsr
from mecam.cli.fetched_model import MaxDownload, local_model
from mecam.cli.pages import Copy, Preview, about_model

if TYPE_CHECKING:
    from mecam.data.store import Store
    from mecam.evaluation.explanation.explanation import Explanation
    from mecam.prediction.predictor import Predictor

__all__ = ["app"]


Run = Annotated[
    Path,
    typer.Argument(
        metavar="RUN",
        callback=local_model,
        help="Run folder of `mecam train`, a folder of `mecam export`, or hf:ORG/NAME@REVISION on the hub.",
    ),
]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="STORE", help="Store of the utterances. [default: the store of the run]"),
]
Split = Annotated[str, typer.Option(help="Split of the store.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Use only this many utterances, evenly spaced over the split.")]
Wanted = Annotated[
    bool | None,
    typer.Option("--gradients/--no-gradients", help="Compute integrated gradients. [default: if captum is installed]"),
]
Steps = Annotated[int, typer.Option(min=2, help="Number of steps of the integrated gradients.")]
Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the results as JSON.")]
Html = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write an HTML page.")]


class _OldForm(TyperGroup):
    """Takes the form that this command had before it had subcommands, with a warning; for one release."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Find out which subcommand is meant where none is named."""
        if args and args[0] not in self.commands and "--help" not in args:
            args = self._translated(ctx, args)
            err.print(f"The subcommand is missing: use `mecam explain {shlex.join(args)}`.", style="yellow")
        return super().parse_args(ctx, args)

    @staticmethod
    def _translated(ctx: Any, args: list[str]) -> list[str]:
        for name in ("agreement", "deletion"):
            if f"--{name}" in args:
                return [name, *(arg for arg in args if arg != f"--{name}")]
        rest, ids = [], []
        given = iter(args)
        for arg in given:
            if arg in ("--utterance", "-u"):
                ids.append(next(given, ""))
            elif arg.startswith("--utterance="):
                ids.append(arg.partition("=")[2])
            else:
                rest.append(arg)
        if "" in ids:
            raise typer.BadParameter("the id is missing", ctx=ctx, param_hint="--utterance")
        return ["utterance", *rest, *ids] if ids else ["recording", *rest]  # the run stands among the rest, anywhere


app = typer.Typer(
    cls=_OldForm, no_args_is_help=True, help="Explain predictions, or test on a split whether explanations are right."
)


@app.command("utterance")
def utterance(
    run: Run,
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of utterances in the store.")],
    data: Data = None,
    gradients: Wanted = None,
    steps: Steps = 50,
    json_: Json = None,
    html: Html = None,
    allow_encoder: AllowEncoder = False,
    max_download: MaxDownload = None,
) -> None:
    """Explain the predictions for utterances of a store.

    Shows the gate of the filter, the weight of each modality, contradictions between modalities, and the prediction
    without each modality, word and segment.

    Example: mecam explain utterance runs/demo s004v0_3 --html why.html
    """
    _write(_explain_utterances(run, data, ids, _Gradients(_with_gradients(gradients, run), steps)), json_, html)


@app.command("recording")
def recording(
    run: Run,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A video or sound file.")],
    transcript: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Transcript: txt, SRT, VTT, CSV or JSON. [default: the file of the same name]"
        ),
    ] = None,
    asr: UseAsr = False,
    asr_model: AsrModel = None,
    language: Language = None,
    shortest: Shortest = 1.0,
    longest: Longest = 15.0,
    gradients: Wanted = None,
    steps: Steps = 50,
    json_: Json = None,
    html: Html = None,
    preview: Preview = Copy.auto,
    allow_encoder: AllowEncoder = False,
    max_download: MaxDownload = None,
) -> None:
    """Explain the prediction for each utterance of a recording; the page has a player.

    Example: mecam explain recording runs/mine clip.mp4 --transcript clip.srt --html why.html
    """
    from mecam.features.text.asr import speech_model

    options = {
        "transcript": transcript,
        "asr": speech_model(asr, asr_model, language),
        "language": language,
        "lengths": (shortest, longest),
    }
    path = _Gradients(_with_gradients(gradients, run), steps)
    _write(_explain_recording(run, file, options, path, preview), json_, html)


@app.command("agreement")
def agreement(
    run: Run,
    data: Data = None,
    split: Split = "valid",
    limit: Limit = None,
    gradients: Wanted = None,
    steps: Steps = 50,
    json_: Json = None,
    html: Html = None,
    allow_encoder: AllowEncoder = False,
    max_download: MaxDownload = None,
) -> None:
    """Test on a split whether gate, occlusion and gradients agree.

    Example: mecam explain agreement runs/demo --limit 100
    """
    _write(_agree(run, data, split, limit, _Gradients(_with_gradients(gradients, run), steps)), json_, html)


@app.command("deletion")
def deletion(
    run: Run,
    data: Data = None,
    split: Split = "test",
    limit: Limit = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Use only this many seeds of the run. [default: all]")
    ] = None,
    draws: Annotated[int, typer.Option(min=1, help="Number of random removals to average.")] = 5,
    json_: Json = None,
    html: Html = None,
    allow_encoder: AllowEncoder = False,
    max_download: MaxDownload = None,
) -> None:
    """Test on a split whether removing filtered input harms less than removing random input.

    Example: mecam explain deletion runs/demo --html deletion.html
    """
    _write(_delete(run, data, split, limit, seeds, draws), json_, html)


def _write(made: "_Made", json_: Path | None, html: Path | None) -> None:
    """Write the requested files."""
    if json_ is not None:
        from mecam.evaluation.explanation.explanation import write_document

        print_place("explanation", write_document(json_, made.document))
    if html is not None:
        print_place("page", made.page(html))


@dataclass(frozen=True)
class _Gradients:
    """Whether to compute integrated gradients, and with how many steps."""

    wanted: bool
    steps: int


@dataclass(frozen=True)
class _Made:
    """A result as JSON, and what writes it as a page."""

    document: dict[str, Any]
    page: Callable[[Path], Path]


def _with_gradients(wanted: bool | None, run: Path) -> bool:
    """Whether to compute integrated gradients: if not told, where captum is installed and PyTorch computes the model.

    Raises: MissingExtraError if they are requested and captum is not installed.
    """
    from mecam.evaluation.explanation.explanation import has_captum, require_captum
    from mecam.models.checkpoint import is_exported

    if wanted:
        require_captum()
    return has_captum() and not is_exported(run) if wanted is None else wanted


def _explain_utterances(run: Path, data: Path | None, ids: list[str], gradients: _Gradients) -> _Made:
    from mecam.evaluation.explanation.explanation import explanation_document
    from mecam.evaluation.explanation.occlusion import explain as explain_them
    from mecam.evaluation.explanation.occlusion import find_utterances
    from mecam.report.explanation import write_explained

    predictor, store = _opened(run, data)
    places = find_utterances(store, ids)
    with progress("explaining") as callback:
        explained = explain_them(
            predictor.backend,
            store,
            places,
            gradients=gradients.wanted,
            steps=gradients.steps,
            progress=callback,
        )
    notes = _printed_notes(predictor)
    _show(explained)
    about = _about(run, predictor, store.name)
    document = explanation_document(explained, about=about, notes=notes)
    return _Made(document, lambda path: write_explained(path, explained, about, notes))


def _explain_recording(
    run: Path, recording: Path, options: dict[str, Any], gradients: _Gradients, preview: Copy
) -> _Made:
    from mecam.evaluation.explanation.explanation import explanation_document
    from mecam.evaluation.explanation.occlusion import explain as explain_them
    from mecam.features.segmentation import Lengths
    from mecam.prediction.predictor import load
    from mecam.report.explanation import write_explained_recording
    from mecam.report.predictions import absences

    with progress(f"loading {run}"):
        predictor = load(run)
    with progress(f"predicting {recording.name}"):
        predicted = predictor.predict_file(recording, **{**options, "lengths": Lengths(*options["lengths"])})
    with progress("explaining") as callback:
        explained = explain_them(
            predictor.backend,
            predicted.utterances,
            gradients=gradients.wanted,
            steps=gradients.steps,
            progress=callback,
        )
    notes = _printed_notes(predictor)
    _show(explained)
    for line in absences(predicted):
        out.print(line)
    about = {**_about(run, predictor, predicted.name), "absent": dict(predicted.absent)}
    times = [(part.start or 0.0, part.stop or predicted.duration) for part in predicted.parts]
    document = explanation_document(explained, about=about, notes=notes, times=times)

    def page(path: Path) -> Path:
        return write_explained_recording(path, explained, predicted, about, predictor.task, preview=preview.value)

    return _Made(document, page)


def _agree(run: Path, data: Path | None, split: str, limit: int | None, gradients: _Gradients) -> _Made:
    from mecam.evaluation.explanation.explanation import result_document
    from mecam.evaluation.explanation.occlusion import some_of, survey
    from mecam.report.deletion import agreement_summary, write_agreement

    predictor, store = _opened(run, data)
    with progress(f"explaining {split}") as callback:
        found = survey(
            predictor.backend,
            store,
            some_of(store, split, limit),
            gradients=gradients.wanted,
            steps=gradients.steps,
            progress=callback,
        )
    about = {**_about(run, predictor, store.name), "split": split, "notes": list(_printed_notes(predictor))}
    out.print(agreement_summary(found).terminal())
    document = {**result_document("agreement", about), **found}
    return _Made(document, lambda path: write_agreement(path, document))


def _delete(run: Path, data: Path | None, split: str, limit: int | None, seeds: int | None, draws: int) -> _Made:
    from mecam.evaluation.explanation.deletion import deletion_test
    from mecam.evaluation.explanation.explanation import result_document
    from mecam.evaluation.explanation.occlusion import some_of
    from mecam.models.checkpoint import is_exported
    from mecam.prediction.predictor import load
    from mecam.report.deletion import deletion_table, write_deletion
    from mecam.runs.run import RunFolder

    predictor, store = _opened(run, data)
    places = [] if is_exported(run) else RunFolder(run).checkpoints[:seeds]
    models = [load(place).backend for place in places] or [predictor.backend]
    with progress(f"removing from {split}") as callback:
        found = deletion_test(models, store, some_of(store, split, limit), draws=draws, progress=callback)
    about = {**_about(run, predictor, store.name), "split": split, "notes": list(_printed_notes(predictor))}
    out.print(deletion_table(found, predictor.task).terminal())
    document = {**result_document("deletion", about), **found}
    return _Made(document, lambda path: write_deletion(path, document, predictor.task))


def _opened(run: Path, data: Path | None) -> "tuple[Predictor, Store]":
    """The model and the store, which must fit."""
    from mecam.prediction.predictor import load
    from mecam.runs.run import RunFolder

    with progress(f"loading {run}"):
        predictor = load(run)
        store = RunFolder(run).store(data)
    predictor.backend.preprocessor.check_features(store)
    return predictor, store


def _about(run: Path, predictor: "Predictor", data: str) -> dict[str, Any]:
    return {**about_model(run, predictor), "data": data}


def _printed_notes(predictor: "Predictor") -> tuple[str, ...]:
    """Notes that belong to every result of this model; they are printed too."""
    from mecam.prediction.answers import notes_of

    notes = notes_of(predictor.backend)
    for note in notes:
        err.print(note, style="yellow")
    return notes


def _show(explained: Sequence["Explanation"]) -> None:
    from mecam.report.explanation_tables import explanation_view

    for one in explained:
        out.print(explanation_view(one))
