"""`mecam data`: make stores, look into them, change and leave them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mecam.cli.console import out, print_json, print_place, progress

if TYPE_CHECKING:  # these bring torch, which `mecam --help` need not wait for
    from mecam.data.operations.describe import Description
    from mecam.data.store import Store
    from mecam.task import Task

__all__ = ["TASK_HELP", "app", "parse_task"]

app = typer.Typer(no_args_is_help=True, help="Import, inspect, split, align, join and export data.")

TASK_HELP = "regression:LOW..HIGH, classes:NAME,NAME… or multilabel[:NAME,NAME…]; default: told from the labels."

StorePath = Annotated[Path, typer.Argument(metavar="STORE", help="The store's folder.")]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="STORE", help="The store to make.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the store if it exists.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


@app.command("import")
def import_(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files or folders; joined by id.")],
    output: Output,
    name: Annotated[str | None, typer.Option(help="The data set's name; default: its folder's.")] = None,
    task: Annotated[str | None, typer.Option(help=TASK_HELP)] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at anything that would be repaired.")] = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Read data of any known layout into a store.

    The layout is recognised by content: MMSA, MulT, MMIM, MISA, MAG-BERT and LMF pickles, CMU-MultimodalSDK
    .csd files, label.csv with or without CSV/NPZ features.

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
    utterances: Annotated[int, typer.Option(help="How many.")] = 1600,
    speakers: Annotated[int, typer.Option(help="How many; splits are disjoint in them.")] = 40,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    negative_rate: Annotated[float, typer.Option(help="Share with injected negative information.")] = 0.3,
    contradiction_rate: Annotated[float, typer.Option(help="Share with a modality that contradicts.")] = 0.1,
    overwrite: Overwrite = False,
) -> None:
    """Make the built-in synthetic corpus, in which the place of negative information is known.

    Example: mecam data synth -o stores/synthetic
    """
    from mecam.synthetic import synthesise

    with progress("making utterances") as callback:
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
    """Show splits, labels, streams and lengths of a store.

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
    verify: Annotated[bool, typer.Option(help="Compare the files with their SHA-256 first.")] = True,
) -> None:
    """Look for what makes results wrong: leakage, labels, dead and missing features.

    Exit code 0 when there is no error, 1 when there is one; warnings and notes do not count.

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
    by: Annotated[Literal["official", "video", "speaker"], typer.Option(help="What decides.")] = "video",
    table: Annotated[Path | None, typer.Option(help="CSV with id (or video_id) and split; decides instead.")] = None,
    shares: Annotated[str, typer.Option(help="Of train, valid, test.")] = "70,10,20",
    folds: Annotated[int | None, typer.Option(help="Cross-validation with this many folds.")] = None,
    fold: Annotated[int, typer.Option(help="Which fold is test, from 0; the next is valid.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 1111,
    overwrite: Overwrite = False,
) -> None:
    """Give a store other splits, in which no recording (or speaker) is torn apart.

    `official` is CMU-MOSI's and CMU-MOSEI's own folds, known by recording.

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
    only: Annotated[list[str] | None, typer.Option(help="Streams to align; default: all that have times.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Give each word one row per stream: the mean of the rows during the word.

    Example: mecam data align stores/mosei-csd -o stores/mosei-aligned
    """
    from mecam.data.operations.align import align as align_store

    with progress("aligning") as callback:
        report = align_store(_open(store), output, modalities=only, overwrite=overwrite, progress=callback)
    for modality in report.aligned:
        out.print(
            f"{modality}: {report.words} words, {report.empty[modality]} without a row,"
            f" {report.dropped[modality]} utterances without times lost it"
        )
    for modality in report.kept:
        out.print(f"{modality}: kept as it was")
    _show(output)


@app.command()
def normalise(
    store: StorePath,
    output: Output,
    by: Annotated[Literal["speaker"], typer.Option(help="Whose mean and deviation are taken out.")] = "speaker",
    modality: Annotated[list[str] | None, typer.Option(help="Only this stream; repeatable. [default: all]")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Take each speaker's own mean and deviation out of the features, so that what is left is how they feel.

    Uses no label, but all utterances of a speaker, those of the test split too: say so beside your results. A model
    trained on such features cannot read a stranger's single clip. (Training always normalises over all speakers.)

    Example: mecam data normalise stores/mine -o stores/mine-relative --by speaker
    """
    from mecam.data.operations.speakers import normalise_by_speaker

    with progress("normalising") as callback:
        normalise_by_speaker(_open(store), output, modalities=modality or None, overwrite=overwrite, progress=callback)
    _show(output)


@app.command()
def join(
    stores: Annotated[list[Path], typer.Argument(metavar="STORE OTHER...", help="The base, then the others.")],
    output: Output,
    overwrite: Overwrite = False,
) -> None:
    """Add the streams of other stores to the utterances of the first, found by id.

    Example: mecam data join stores/mosi stores/mosi-vision -o stores/mosi-all
    """
    from mecam.data.operations.combine import join as join_stores

    base, *others = _several(stores)
    with progress("joining") as callback:
        report = join_stores(base, others, output, overwrite=overwrite, progress=callback)
    for other, added in report.added.items():
        out.print(
            f"{other}: {', '.join(added) or 'no stream'} for {report.matched[other]} utterances;"
            f" {report.without[other]} are not in it, {report.ignored[other]} are only in it",
            markup=False,
        )
    _show(output)


@app.command()
def merge(
    stores: Annotated[list[Path], typer.Argument(metavar="STORE STORE...", help="Stores with the same labels.")],
    output: Output,
    name: Annotated[str | None, typer.Option(help="The new data set's name.")] = None,
    prefix: Annotated[bool, typer.Option("--prefix", help="Put each store's name before its ids.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Put the utterances of several stores into one.

    Example: mecam data merge stores/mosi stores/mosei -o stores/both
    """
    from mecam.data.operations.combine import merge as merge_stores

    with progress("merging") as callback:
        merge_stores(_several(stores), output, name=name, prefix=prefix, overwrite=overwrite, progress=callback)
    _show(output)


@app.command()
def export(
    store: StorePath,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="PATH", help="The file or folder to make.")],
    to: Annotated[Literal["mmsa", "npz", "csv"], typer.Option(help="MMSA's pickle, or a folder of NPZ or CSV.")],
    max_length: Annotated[int | None, typer.Option(min=1, help="Rows kept per utterance (mmsa, npz).")] = None,
    tokenizer: Annotated[str | None, typer.Option(help="Name or folder; makes MMSA's text_bert.")] = None,
    tokens: Annotated[int, typer.Option(min=2, help="Length of text_bert.")] = 50,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export.")] = False,
) -> None:
    """Write a store in a format that other programs read.

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
    lost = [f"{report.left_out} utterances without split or label left out"] if report.left_out else []
    lost += [f"the target {name} has no place in this format" for name in report.targets]
    lost += [f"{modality}: {count} utterances cut" for modality, count in report.truncated.items()]
    lost += [f"{modality}: {count} missing values became 0" for modality, count in report.filled.items() if count]
    for line in [f"{report.utterances} utterances", *lost]:
        out.print(line)
    print_place("export", output)


def _open(path: Path, *, verify: bool = False) -> "Store":
    from mecam.data.store import Store

    return Store(path, verify=verify)


def _several(paths: list[Path]) -> "list[Store]":
    if len(paths) < 2:
        raise typer.BadParameter("at least two stores are needed")
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
