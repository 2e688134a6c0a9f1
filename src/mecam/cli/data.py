"""`mecam data`: create, inspect, change and export stores."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mecam.cli.console import out, print_json, print_place, progress
from mecam.cli.extract_report import SOME_FAILED, show_report

if TYPE_CHECKING:  # these bring torch, which `mecam --help` need not wait for
    from mecam.data.operations.describe import Description
    from mecam.data.store import Store
    from mecam.task import Task

__all__ = ["TASK_HELP", "app", "parse_task"]

app = typer.Typer(no_args_is_help=True, help="Import, check, split, align, join and export data sets.")

TASK_HELP = "regression:LOW..HIGH, classes:NAME,NAME… or multilabel[:NAME,NAME…]. [default: inferred from the labels]"

StorePath = Annotated[Path, typer.Argument(metavar="STORE", help="Folder of the store.")]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="STORE", help="Store to create.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the store if it exists.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


@app.command("import")
def import_(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files or folders; they are joined by id.")],
    output: Output,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the data set. [default: the folder's]")
    ] = None,
    task: Annotated[str | None, typer.Option(help=TASK_HELP)] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop with an error instead of repairing data.")] = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Import a data set into a store.

    Recognises these layouts by their content: pickles of MMSA, MulT, MMIM, MISA, MAG-BERT and LMF, .csd files of the
    CMU-MultimodalSDK, and label.csv with or without CSV or NPZ features.

    Example: mecam data import label.csv audio.npz -o stores/mosi
    """
    from mecam.data.importing.importer import import_data
    from mecam.report.data import file_lines, finding_table

    with progress("importing") as callback:
        report = import_data(
            paths, output, name=name, task=parse_task(task), strict=strict, overwrite=overwrite, progress=callback
        )
    if as_json:
        print_json(report.to_json())
        return
    out.print(file_lines(report.files, report.ignored))
    if report.findings:
        found = [("", f.kind, f.count, f.rule, f.examples) for f in report.findings]
        out.print(finding_table(found).terminal())
    _show(output)


@app.command()
def synth(
    output: Output,
    utterances: Annotated[int, typer.Option(help="Number of utterances.")] = 1600,
    speakers: Annotated[int, typer.Option(help="Number of speakers; no speaker is in two splits.")] = 40,
    seed: Annotated[int, typer.Option(help="Random seed; the same seed gives identical files.")] = 0,
    negative_rate: Annotated[float, typer.Option(help="Fraction of utterances with inserted corruption.")] = 0.3,
    contradiction_rate: Annotated[
        float, typer.Option(help="Fraction of utterances with a contradicting modality.")
    ] = 0.1,
    overwrite: Overwrite = False,
) -> None:
    """Create the synthetic corpus, in which the positions of negative information are known.

    Example: mecam data synth -o stores/synthetic
    """
    from mecam.synthetic import synthesise

    with progress("generating utterances") as callback:
        synthesise(
            output,
            utterances=utterances,
            speakers=speakers,
            seed=seed,
            negative_rate=negative_rate,
            contradiction_rate=contradiction_rate,
            overwrite=overwrite,
            progress=callback,
        )
    _show(output)


@app.command()
def info(store: StorePath, as_json: AsJson = False) -> None:
    """Show the splits, labels, features and lengths of a store.

    Example: mecam data info stores/mosi
    """
    from mecam.data.operations.describe import describe

    description = describe(_open(store))
    if as_json:
        print_json(description.to_json())
    else:
        _print_description(description)


@app.command()
def check(
    store: StorePath,
    as_json: AsJson = False,
    verify: Annotated[bool, typer.Option(help="First verify the files by their SHA-256.")] = True,
) -> None:
    """Check a store for problems: leakage between splits, wrong labels, constant or missing features.

    Exit code 1 if there is an error; warnings and notes do not count.

    Example: mecam data check stores/mosi
    """
    from mecam.data.operations.check import check as check_store
    from mecam.report.data import finding_table

    opened = _open(store, verify=verify)
    with progress("reading features") as callback:
        report = check_store(opened, progress=callback)
    if as_json:
        print_json(report.to_json())
    else:
        _print_description(report.description)
        found = [(p.level, p.kind, p.count, p.message, p.examples) for p in report.problems]
        out.print(finding_table(found).terminal())
        levels = [problem.level for problem in report.problems]
        out.print(f"{levels.count('error')} errors, {levels.count('warning')} warnings, {levels.count('note')} notes")
    if report.failed:
        raise typer.Exit(1)


@app.command()
def split(
    store: StorePath,
    output: Output,
    by: Annotated[
        Literal["official", "video", "speaker"], typer.Option(help="Unit that is never divided between splits.")
    ] = "video",
    table: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="CSV with the columns id (or video_id, or speaker) and split; not --by."),
    ] = None,
    shares: Annotated[str, typer.Option(help="Percentages of train, valid and test.")] = "70,10,20",
    folds: Annotated[int | None, typer.Option(help="Number of cross-validation folds.")] = None,
    fold: Annotated[int, typer.Option(help="Fold for test, counted from 0; the next one is valid.")] = 0,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 1111,
    overwrite: Overwrite = False,
) -> None:
    """Create a store with new splits; no recording (or speaker) is divided between them.

    `official` uses the standard folds of CMU-MOSI and CMU-MOSEI.

    Example: mecam data split stores/ravdess -o stores/ravdess-fold0 --by speaker --folds 5 --fold 0
    """
    from mecam.data.operations import split as splitting

    opened = _open(store)
    if table is not None:
        splits = splitting.table_splits(opened, table)
    elif by == "official":
        splits = splitting.official_splits(opened)
    elif folds is not None:
        splits = splitting.fold_splits(opened, folds=folds, fold=fold, unit=by, seed=seed)
    else:
        splits = splitting.random_splits(opened, unit=by, shares=_shares(shares), seed=seed)
    step: dict[str, Any] = {"command": "split", "by": by, "shares": shares, "folds": folds, "fold": fold, "seed": seed}
    step |= {"table": table.name} if table else {}
    with progress("writing") as callback:
        splitting.write_splits(opened, output, splits, step=step, overwrite=overwrite, progress=callback)
    _show(output)


@app.command()
def align(
    store: StorePath,
    output: Output,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="MODALITY", help="Modality to align; repeatable. [default: all with times]"),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Average the features of each modality over each word.

    Example: mecam data align stores/mosei-csd -o stores/mosei-aligned
    """
    from mecam.data.operations.align import align as align_store

    with progress("aligning") as callback:
        report = align_store(_open(store), output, modalities=only, overwrite=overwrite, progress=callback)
    for modality in report.aligned:
        out.print(
            f"{modality}: {report.words} words, {report.empty[modality]} of them without features;"
            f" removed from {report.dropped[modality]} utterances without times"
        )
    for modality in report.kept:
        out.print(f"{modality}: unchanged")
    _show(output)


@app.command()
def normalise(
    store: StorePath,
    output: Output,
    by: Annotated[Literal["speaker"], typer.Option(help="Group that is normalised.")] = "speaker",
    modality: Annotated[list[str] | None, typer.Option(help="Only this modality; repeatable. [default: all]")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Normalise the features of each speaker to zero mean and unit deviation.

    Uses no labels, but all utterances of a speaker, including the test split: report this with your results. A model
    trained on such features cannot predict a single clip of a new speaker. Training always normalises over all
    speakers.

    Example: mecam data normalise stores/mine -o stores/mine-relative --by speaker
    """
    from mecam.data.operations.speakers import normalise_by_speaker

    with progress("normalising") as callback:
        normalise_by_speaker(_open(store), output, modalities=modality or None, overwrite=overwrite, progress=callback)
    _show(output)


@app.command()
def join(
    stores: Annotated[list[Path], typer.Argument(metavar="STORE OTHER...", help="First store, then the others.")],
    output: Output,
    overwrite: Overwrite = False,
) -> None:
    """Add modalities from other stores to the utterances of the first store, matched by id.

    Example: mecam data join stores/mosi stores/mosi-vision -o stores/mosi-all
    """
    from mecam.data.operations.combine import join as join_stores

    base, *others = _several(stores)
    with progress("joining") as callback:
        report = join_stores(base, others, output, overwrite=overwrite, progress=callback)
    for other, added in report.added.items():
        out.print(
            f"{other}: {', '.join(added) or 'nothing'} added to {report.matched[other]} utterances; it lacks"
            f" {report.without[other]} utterances of the first store and has {report.ignored[other]} more, not used",
            markup=False,
        )
    _show(output)


@app.command()
def merge(
    stores: Annotated[
        list[Path], typer.Argument(metavar="STORE STORE...", help="Stores with the same labels, or all shards.")
    ],
    output: Output,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Name of the new data set.")] = None,
    prefix: Annotated[bool, typer.Option("--prefix", help="Add the name of each store to its ids.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Merge the utterances of several stores into one store, or the shards of an extraction into its store.

    Example: mecam data merge stores/mosi stores/mosei -o stores/both

    Example: mecam data merge shards/* -o stores/mosi
    """
    from mecam.data.operations.combine import merge as merge_stores
    from mecam.features.shards import is_shard

    if any(is_shard(store) for store in stores):
        _merge_shards(stores, output, overwrite=overwrite, named=name is not None or prefix)
        return
    with progress("merging") as callback:
        merge_stores(_several(stores), output, name=name, prefix=prefix, overwrite=overwrite, progress=callback)
    _show(output)


@app.command()
def export(
    store: StorePath,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="PATH", help="File or folder to create.")],
    to: Annotated[
        Literal["mmsa", "npz", "csv"], typer.Option(help="Format: MMSA pickle, or a folder of NPZ or CSV files.")
    ],
    max_length: Annotated[int | None, typer.Option(min=1, help="Maximum time steps per utterance (mmsa, npz).")] = None,
    tokenizer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Tokenizer (name or folder) for the text_bert of MMSA.")
    ] = None,
    tokens: Annotated[int, typer.Option(min=2, help="Number of tokens of text_bert.")] = 50,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export.")] = False,
) -> None:
    """Export a store to the format of another toolkit.

    Example: mecam data export stores/mosi -o mosi.pkl --to mmsa
    """
    from mecam.data.operations import export as exporting

    opened = _open(store)
    with progress("exporting") as callback:
        if to == "mmsa":
            tokenize = None if tokenizer is None else exporting.bert_tokenizer(tokenizer, tokens)
            report = exporting.export_mmsa(
                opened, output, tokenize=tokenize, max_length=max_length, overwrite=overwrite, progress=callback
            )
        elif to == "npz":
            report = exporting.export_npz(opened, output, max_length=max_length, overwrite=overwrite, progress=callback)
        else:
            report = exporting.export_csv(opened, output, overwrite=overwrite, progress=callback)
    lost = [f"{report.left_out} utterances without split or label were left out"] if report.left_out else []
    lost += [f"the label {name} cannot be stored in this format" for name in report.targets]
    lost += [f"{modality}: {count} utterances were shortened" for modality, count in report.truncated.items()]
    lost += [f"{modality}: {count} missing values became 0" for modality, count in report.filled.items() if count]
    for line in [f"{report.utterances} utterances", *lost]:
        out.print(line)
    print_place("export", output)


def _merge_shards(shards: list[Path], output: Path, *, overwrite: bool, named: bool) -> None:
    """Merge the shards of an extraction; exit code 3 if some of its files failed, as `mecam extract` has it."""
    from mecam.features.shards import merge_shards

    if named:
        raise typer.BadParameter("--name and --prefix are for stores; shards are named when they are extracted")
    with progress("merging") as callback:
        report = merge_shards(shards, output, overwrite=overwrite, progress=callback)
    show_report(report)
    print_place("store", output)
    if report.failures:
        raise typer.Exit(SOME_FAILED)


def _open(path: Path, *, verify: bool = False) -> "Store":
    from mecam.data.store import Store

    return Store(path, verify=verify)


def _several(paths: list[Path]) -> "list[Store]":
    if len(paths) < 2:
        raise typer.BadParameter("give at least two stores")
    return [_open(path) for path in paths]


def _shares(text: str) -> tuple[float, float, float]:
    parts = text.split(",")
    try:
        train, valid, test = (float(part) for part in parts)
    except ValueError:
        raise typer.BadParameter("give three numbers, as in 70,10,20", param_hint="--shares") from None
    return train, valid, test


def _show(path: Path) -> None:
    """Show the store that was made, and its place last."""
    from mecam.data.operations.describe import describe

    _print_description(describe(_open(path)))
    print_place("store", path)


def _print_description(description: "Description") -> None:
    from mecam.report.data import description_tables, description_title

    out.print(description_title(description))
    for table in description_tables(description):
        out.print(table.terminal())


def parse_task(text: str | None) -> "Task | None":
    """The task that `--task` describes; None leaves it to the labels."""
    from mecam.task import Task

    if text is None or (task := Task.parse(text)) is not None:
        return None if text is None else task
    raise typer.BadParameter(TASK_HELP, param_hint="--task")
