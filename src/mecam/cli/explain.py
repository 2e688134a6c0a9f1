"""`mecam explain`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mecam.cli.console import err, out, print_place, progress
from mecam.cli.encoders import AllowEncoder
from mecam.cli.extract import AsrModel, Language, Longest, Shortest, UseAsr
from mecam.cli.predict import Copy, Preview, about_model
from mecam.errors import ConfigError
from mecam.report.explanation_tables import explanation_view

if TYPE_CHECKING:
    from mecam.data.store import Store
    from mecam.evaluation.explanation.explanation import Explanation
    from mecam.prediction.predictor import Predictor

__all__ = ["explain"]


def explain(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder made by `mecam train`.")],
    recording: Annotated[
        Path | None, typer.Argument(metavar="[RECORDING]", help="A video or sound file to explain.")
    ] = None,
    utterance: Annotated[
        list[str] | None, typer.Option("--utterance", "-u", metavar="ID", help="Of the store; repeatable.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="STORE", help="The store's folder; by default the one that the run was trained on."
        ),
    ] = None,
    agreement: Annotated[
        bool, typer.Option("--agreement", help="Do filter, leaving out and gradients agree, over a split?")
    ] = False,
    deletion: Annotated[
        bool, typer.Option("--deletion", help="Does removing what the filter marks hurt less than at random?")
    ] = False,
    split: Annotated[str | None, typer.Option(help="By default valid for --agreement, test for --deletion.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Of the split: this many utterances, spread evenly over it.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="For --deletion: this many of the run's seeds; by default all.")
    ] = None,
    draws: Annotated[int, typer.Option(min=1, help="For --deletion: random removals that are averaged.")] = 5,
    gradients: Annotated[
        bool | None,
        typer.Option("--gradients/--no-gradients", help="Integrated gradients; by default if captum is installed."),
    ] = None,
    steps: Annotated[int, typer.Option(min=2, help="Of the path that gradients are integrated over.")] = 50,
    json_: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write everything as JSON.")] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write one page.")] = None,
    preview: Preview = Copy.auto,
    transcript: Annotated[
        Path | None,
        typer.Option(help="Of the recording: txt, SRT, VTT, CSV or JSON; by default one that lies beside it."),
    ] = None,
    asr: UseAsr = False,
    asr_model: AsrModel = "small",
    language: Language = None,
    shortest: Shortest = 1.0,
    longest: Longest = 15.0,
    allow_encoder: AllowEncoder = False,
) -> None:
    """Explain predictions, or test the filter that is shown.

    Of utterances or a recording: what the filter kept, what each modality weighs and which contradicts, and the answer
    without each modality, word and stretch. --agreement and --deletion check over a split what is shown.

    Example: mecam explain runs/demo --utterance s004v0_3 --html why.html

    Example: mecam explain runs/mine clip.mp4 --transcript clip.srt --json why.json

    Example: mecam explain runs/demo --deletion --html deletion.html
    """
    wanted = [bool(utterance), recording is not None, agreement, deletion]
    if sum(wanted) != 1:
        raise ConfigError(
            "nothing to explain" if not any(wanted) else "too much to explain at once",
            fix="give --utterance ID, a recording, --agreement or --deletion: one of them",
        )
    if deletion:
        made = _delete(run, data, split or "test", limit, seeds, draws)
    else:
        path = _Gradients(_with_gradients(gradients), steps)
        if agreement:
            made = _agree(run, data, split or "valid", limit, path)
        elif recording is not None:
            options = {
                "transcript": transcript,
                "asr": asr_model if asr else None,
                "language": language,
                "lengths": (shortest, longest),
            }
            made = _explain_recording(run, recording, options, path, preview)
        else:
            made = _explain_utterances(run, data, utterance or [], path)
    if json_ is not None:
        from mecam.evaluation.explanation.explanation import write_document

        print_place("explanation", write_document(json_, made.document))
    if html is not None:
        print_place("page", made.page(html))


@dataclass(frozen=True)
class _Gradients:
    """Whether integrated gradients are asked for, and along how many steps."""

    wanted: bool
    steps: int


@dataclass(frozen=True)
class _Made:
    """A result as JSON, and what writes it as a page."""

    document: dict[str, Any]
    page: Callable[[Path], Path]


def _with_gradients(wanted: bool | None) -> bool:
    """Whether integrated gradients are asked for.

    Raises: MissingExtraError if they are, and captum is not there.
    """
    from mecam.evaluation.explanation.gradients import has_captum, require_captum

    if wanted:
        require_captum()
    return has_captum() if wanted is None else wanted


def _explain_utterances(run: Path, data: Path | None, ids: list[str], gradients: _Gradients) -> _Made:
    from mecam.evaluation.explanation.explanation import explanation_document
    from mecam.evaluation.explanation.occlusion import explain as explain_them
    from mecam.evaluation.explanation.occlusion import find_utterances
    from mecam.report.explanation import write_explained

    predictor, store = _opened(run, data)
    places = find_utterances(store, ids)
    with progress("explaining") as callback:
        explained = explain_them(
            predictor.trained,
            store,
            places,
            gradients=gradients.wanted,
            steps=gradients.steps,
            progress=callback,
        )
    notes = _told(predictor)
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
    with progress(f"watching {recording.name}"):
        watched = predictor.predict_file(recording, **{**options, "lengths": Lengths(*options["lengths"])})
    with progress("explaining") as callback:
        explained = explain_them(
            predictor.trained,
            watched.utterances,
            gradients=gradients.wanted,
            steps=gradients.steps,
            progress=callback,
        )
    notes = _told(predictor)
    _show(explained)
    for line in absences(watched):
        out.print(line)
    about = {**_about(run, predictor, watched.name), "absent": dict(watched.absent)}
    times = [(part.start or 0.0, part.stop or watched.duration) for part in watched.parts]
    document = explanation_document(explained, about=about, notes=notes, times=times)

    def page(path: Path) -> Path:
        return write_explained_recording(path, explained, watched, about, predictor.task, preview=preview.value)

    return _Made(document, page)


def _agree(run: Path, data: Path | None, split: str, limit: int | None, gradients: _Gradients) -> _Made:
    from mecam.evaluation.explanation.explanation import result_document
    from mecam.evaluation.explanation.occlusion import some_of, survey
    from mecam.report.deletion import agreement_summary, write_agreement

    predictor, store = _opened(run, data)
    with progress(f"explaining {split}") as callback:
        found = survey(
            predictor.trained,
            store,
            some_of(store, split, limit),
            gradients=gradients.wanted,
            steps=gradients.steps,
            progress=callback,
        )
    about = {**_about(run, predictor, store.name), "split": split, "notes": list(_told(predictor))}
    out.print(agreement_summary(found).terminal())
    document = {**result_document("agreement", about), **found}
    return _Made(document, lambda path: write_agreement(path, document))


def _delete(run: Path, data: Path | None, split: str, limit: int | None, seeds: int | None, draws: int) -> _Made:
    from mecam.evaluation.explanation.deletion import deletion_test
    from mecam.evaluation.explanation.explanation import result_document
    from mecam.evaluation.explanation.occlusion import some_of
    from mecam.prediction.predictor import load
    from mecam.report.deletion import deletion_table, write_deletion

    predictor, store = _opened(run, data)
    folders = sorted(path.parent for path in run.glob("seeds/*/checkpoint"))[:seeds] or [run]
    models = [load(folder).trained for folder in folders]
    with progress(f"removing from {split}") as callback:
        found = deletion_test(models, store, some_of(store, split, limit), draws=draws, progress=callback)
    about = {**_about(run, predictor, store.name), "split": split, "notes": list(_told(predictor))}
    out.print(deletion_table(found, predictor.task).terminal())
    document = {**result_document("deletion", about), **found}
    return _Made(document, lambda path: write_deletion(path, document, predictor.task))


def _opened(run: Path, data: Path | None) -> "tuple[Predictor, Store]":
    """The model and the store, which must fit."""
    from mecam.data.store import Store
    from mecam.evaluation.origin import store_of
    from mecam.models.checkpoint import check_features
    from mecam.prediction.predictor import load

    with progress(f"loading {run}"):
        predictor = load(run)
        store = store_of(run) if data is None else Store(data)
    check_features(predictor.trained, store)
    return predictor, store


def _about(run: Path, predictor: "Predictor", data: str) -> dict[str, Any]:
    return {**about_model(run, predictor), "data": data}


def _told(predictor: "Predictor") -> tuple[str, ...]:
    """What must be said beside every result of this model, said."""
    from mecam.prediction.recordings import notes_of

    notes = notes_of(predictor.backend)
    for note in notes:
        err.print(note, style="yellow")
    return notes


def _show(explained: Sequence["Explanation"]) -> None:
    for one in explained:
        out.print(explanation_view(one))
