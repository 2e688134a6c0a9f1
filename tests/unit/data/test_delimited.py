"""Tables as Excel, pandas and people write them come in with their values, or are refused in one sentence."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from mecam.data.importing.importer import import_data
from mecam.data.importing.sources.delimited import DelimitedTable, looks_like_table
from mecam.data.importing.sources.numerals import COMMA, POINT, Marks, parse_number
from mecam.data.store import Store
from mecam.errors import DataError
from mecam.task import Regression

SCORES = [1.4, 0.2, -2.6, 0.0, 2.0, -1.2, 0.8, -3.0]
TEXTS = ["I loved it", "Not bad", "It was awful", "So so", "Great", "Boring, really", "Fine; yes", "Terrible"]
SPLITS = ["train"] * 4 + ["valid"] * 2 + ["test"] * 2


def written(*, delimiter=",", decimal=".", minus="-", whole=True, quote=csv.QUOTE_MINIMAL, end="\r\n", empty=0):
    """The table of the eight scores, in one of the ways it is written."""
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=delimiter, quoting=quote, lineterminator=end)
    writer.writerow(["video_id", "clip_id", "text", "label", "mode", *[""] * empty])
    for index, (score, text, split) in enumerate(zip(SCORES, TEXTS, SPLITS, strict=True)):
        number = f"{score:g}" if whole else f"{score:.1f}"
        number = number.replace(".", decimal).replace("-", minus)
        writer.writerow([f"v{index // 2}", index % 2 + 1, text, number, split, *[""] * empty])
    for _ in range(empty):
        writer.writerow([""] * (5 + empty))
    return stream.getvalue()


def found(report):
    return {finding.kind for finding in report.findings}


BOTH = {"unusual delimiters", "decimal commas"}
VARIANTS = {
    "usual": (written(), "utf-8", set()),
    "byte order mark": (written(), "utf-8-sig", set()),
    "UTF-16, tabs": (written(delimiter="\t"), "utf-16", {"unusual delimiters"}),
    "UTF-16 without a mark": (written(delimiter=";"), "utf-16-le", {"unusual delimiters"}),
    "UTF-32": (written(), "utf-32", set()),
    "decimal commas, quoted": (written(decimal=","), "utf-8", {"decimal commas"}),
    "decimal commas throughout": (written(decimal=",", whole=False), "utf-8", {"decimal commas"}),
    "semicolons": (written(delimiter=";"), "utf-8", {"unusual delimiters"}),
    "semicolons and decimal commas": (written(delimiter=";", decimal=","), "utf-8-sig", BOTH),
    "tabs and decimal commas": (written(delimiter="\t", decimal=","), "utf-8", BOTH),
    "bars": (written(delimiter="|"), "utf-8", {"unusual delimiters"}),
    "sep=": ("sep=;\r\n" + written(delimiter=";", decimal=","), "utf-8", BOTH),
    "sep= of a tab": ("sep=\t\r\n" + written(delimiter="\t"), "utf-8", {"unusual delimiters"}),
    "minus sign": (written(minus="\u2212"), "utf-8", set()),
    "en dash": (written(minus="\u2013"), "utf-8", set()),
    "minus sign and decimal comma": (written(minus="\u2212", decimal=","), "utf-8", {"decimal commas"}),
    "narrow space after the sign": (written(minus="-\u202f"), "utf-8", set()),
    "no-break space before numbers": (written().replace(",-", ",\u00a0-"), "utf-8", set()),
    "everything quoted": (written(quote=csv.QUOTE_ALL), "utf-8", set()),
    "empty rows and columns": (written(empty=3), "utf-8", set()),
    "line ends of old Macs": (written(end="\r"), "utf-8", set()),
    "empty lines first": ("\n\n" + written(), "utf-8", set()),
    "capital header": (written().replace("label", "Label").replace("mode", " Mode "), "utf-8", set()),
}  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
def test_however_a_table_is_written_its_scores_come_in(tmp_path, name):
    text, encoding, kinds = VARIANTS[name]
    (tmp_path / "label.csv").write_bytes(text.encode(encoding))
    report = import_data([tmp_path / "label.csv"], tmp_path / "store")
    store = Store(tmp_path / "store")
    assert store.task == Regression(-3.0, 3.0)
    assert store.column("label") == SCORES
    assert store.column("text") == TEXTS
    assert store.column("split") == SPLITS
    assert found(report) == kinds


@pytest.mark.parametrize("name", ["decimal_comma_all.csv", "semicolon_bom.csv"])
def test_the_cases_of_excel_come_in(tmp_path, shared_cases, name):
    report = import_data([shared_cases / "08_excel_csv" / name], tmp_path / "store")
    store = Store(tmp_path / "store")
    assert (store.task, store.column("label")) == (Regression(-3.0, 3.0), SCORES)
    assert "decimal commas" in found(report)


def labels_of(tmp_path, *cells, delimiter=",", **options):
    lines = [delimiter.join(["id", "label"])]
    lines += [f'v{index}_1{delimiter}"{cell}"' for index, cell in enumerate(cells)]
    (tmp_path / "label.csv").write_text("\n".join(lines), encoding="utf-8")
    report = import_data([tmp_path / "label.csv"], tmp_path / "store", **options)
    return Store(tmp_path / "store").column("label"), report


@pytest.mark.parametrize("cells", [("1,4", "0.5"), ("-0,25", "1.2", "2")], ids=str)
def test_a_column_that_mixes_decimal_marks_is_refused(tmp_path, cells):
    with pytest.raises(DataError, match=r"decimal comma.*decimal point"):
        labels_of(tmp_path, *cells)


def test_a_number_that_may_be_thousands_is_refused_unless_something_tells(tmp_path):
    with pytest.raises(DataError, match=r"two ways.*'1,234'"):
        labels_of(tmp_path, "1,234", "-2,345")
    labels, _ = labels_of(tmp_path, "1,234", "-2,345", "0,5")
    assert labels == [1.234, -2.345, 0.5]


def test_with_semicolons_a_comma_is_the_decimal_mark(tmp_path):
    labels, report = labels_of(tmp_path, "1,234", "-2,345", delimiter=";")
    assert labels == [1.234, -2.345]
    assert found(report) == BOTH


def test_thousands_separators_are_understood_where_they_are_clear(tmp_path):
    task = Regression(0.0, 5000.0)
    for cells in (("1,234.5", "999.5"), ("1.234,5", "999,5"), ("1 234,5", "999,5"), ("1'234.5", "999.5")):
        assert labels_of(tmp_path, *cells, task=task)[0] == [1234.5, 999.5]
        (tmp_path / "store").rename(tmp_path / f"store {cells[0]}")


def test_percentages_are_hundredths_and_counted(tmp_path):
    labels, report = labels_of(tmp_path, "50%", "-12,5 %", task=Regression(-1.0, 1.0))
    assert labels == [0.5, -0.125]
    assert {"percentages", "decimal commas"} == found(report)


@pytest.mark.parametrize("cell", ["", "NaN", "NA", "n/a", "#N/A", "#DIV/0!", "-", "null", "None", "inf", "1e400"])
def test_a_label_that_is_not_there_is_missing_and_no_class(tmp_path, cell):
    labels, report = labels_of(tmp_path, "1.5", "-0.5", cell)
    assert labels == [1.5, -0.5]
    assert found(report) <= {"unmatched rows", "missing labels"}
    assert found(report)


@pytest.mark.parametrize("cell", ["good", "01. Apr", "1.4.2024", "1_0", "--1", "1,2,3", "(1.4)", "−"])
def test_a_word_among_scores_is_an_error_that_names_it(tmp_path, cell):
    with pytest.raises(DataError, match="1 labels are no numbers") as caught:
        labels_of(tmp_path, "1.5", "-0.5", cell)
    assert "v2_1" in caught.value.what


def test_what_cannot_be_read_is_told_with_the_row(tmp_path):
    (tmp_path / "a.csv").write_text("video_id,clip_id,text,label,mode\nv,1,fine,1,4,train\n")
    with pytest.raises(DataError, match="6 cells under a header of 5") as caught:
        import_data([tmp_path / "a.csv"], tmp_path / "store")
    assert "row 2" in caught.value.where
    assert "quotes" in caught.value.fix
    (tmp_path / "a.csv").write_text("id,label,Label\nv,1,2\n")
    with pytest.raises(DataError, match="'label' occurs twice"):
        import_data([tmp_path / "a.csv"], tmp_path / "store")


@pytest.mark.parametrize(
    ("cell", "decimal", "number"),
    [
        ("1.5", POINT, 1.5), ("1,5", COMMA, 1.5), ("1,5", POINT, None), ("1.5", COMMA, None),
        ("−1.5", POINT, -1.5), ("+2", POINT, 2.0), ("1e-3", POINT, 0.001), ("1,5E+2", COMMA, 150.0),
        ("1,234,567.8", POINT, 1234567.8), ("0,123", POINT, None), ("1,23,456", POINT, None), (".5", POINT, 0.5),
        (",5", COMMA, 0.5), ("5.", POINT, 5.0), ("1 2", POINT, None), ("12 345", POINT, 12345.0), ("", POINT, None),
        ("1" * 200 + "x", POINT, None), ("１．５", POINT, 1.5), ("٫", POINT, None), ("1..5", POINT, None),
        ("0x10", POINT, None), ("1_000", POINT, None),
    ],
)  # fmt: skip
def test_numbers(cell, decimal, number):
    read = parse_number(cell, decimal)
    assert read == number if number is not None else np.isnan(read)


def test_a_long_cell_of_digits_is_no_work():
    assert np.isnan(parse_number("1 " * 60_000 + "x"))
    assert np.isnan(parse_number(",".join("1" * 60_000), COMMA))


def test_marks_say_what_they_have_seen():
    marks = Marks()
    for cell in ("Hello, world", "1,234", "5"):
        marks.look(cell)
    assert (marks.sure, marks.decimal(otherwise=None), marks.decimal(otherwise=COMMA)) == (None, None, COMMA)
    marks.look("0,25")
    assert (marks.sure, marks.decimal(otherwise=None)) == (COMMA, COMMA)
    marks.look("0.25")
    assert (marks.sure, marks.decimal(otherwise=POINT)) == (None, None)


# -- features ------------------------------------------------------------------------------------------------


def features(tmp_path, table, ids=("v_0", "v_1", "v_2", "v_3")):
    lines = [f"{name},{0.5 - index}" for index, name in enumerate(ids)]
    (tmp_path / "label.csv").write_text("\n".join(["id,label", *lines]))
    (tmp_path / "audio.csv").write_text(table, encoding="utf-8")
    report = import_data([tmp_path / "label.csv", tmp_path / "audio.csv"], tmp_path / "store")
    store = Store(tmp_path / "store")
    return store.specs["audio"], [u.streams["audio"].tolist() for u in store], report


VALUES = [[1.5, 10.0], [0.25, 20.0], [-3.5, 10.0], [8.0, 20.0]]


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "Unnamed: 0.1", "level_0", "index", "number"])
def test_an_index_of_pandas_is_no_feature(tmp_path, name):
    lines = [f"{index},v_{index},{a},{b}" for index, (a, b) in enumerate(VALUES)]
    spec, rows, report = features(tmp_path, "\n".join([f"{name},id,f0,f1", *lines]))
    assert (spec.width, spec.names) == (2, ("f0", "f1"))
    assert rows == [[row] for row in VALUES]
    assert found(report) == {"row numbers"}


def test_an_index_that_pandas_has_kept_from_before_is_no_feature_either(tmp_path):
    for name, index in (("", [7, 3, 40, 2]), ("index", [7, 3, 40, 2]), ("n", [1, 2, 3, 4])):
        lines = [f"{i},v_{k},{a},{b}" for k, (i, (a, b)) in enumerate(zip(index, VALUES, strict=True))]
        (tmp_path / f"x{name}").mkdir()
        spec, _, report = features(tmp_path / f"x{name}", "\n".join([f"{name},id,f0,f1", *lines]))
        assert (spec.names, found(report)) == (("f0", "f1"), {"row numbers"})


def test_features_that_look_like_numbers_of_rows_stay(tmp_path):
    lines = [f"v_{k},{k % 2},{k + 5},{2 * k}" for k in range(4)]
    spec, rows, report = features(tmp_path, "\n".join(["id,index,f1,f2", *lines]))
    assert (spec.names, rows[3], found(report)) == (("index", "f1", "f2"), [[1.0, 8.0, 6.0]], set())


def test_features_with_decimal_commas_and_gaps(tmp_path):
    lines = ["v_0;1,5;−3;x", "v_1;;1.234,5;y", "v_2;NaN;0,5;z", "v_3;0,25;bad;w", ";;;"]
    spec, rows, report = features(tmp_path, "\n".join(["id;f0;f1;who", *lines]))
    assert spec.names == ("f0", "f1")
    expected = [[1.5, -3.0], [np.nan, 1234.5], [np.nan, 0.5], [0.25, np.nan]]
    assert np.array_equal(np.array(rows)[:, 0], np.array(expected), equal_nan=True)
    counts = {finding.kind: finding.count for finding in report.findings}
    assert counts == {
        "non-finite values": 3,
        "unusual delimiters": 1,
        "decimal commas": 2,
        "cells that are no number": 1,
        "columns without numbers": 1,
    }


def test_an_empty_column_with_a_name_is_missing_values(tmp_path):
    lines = [f"v_{k},{k / 2},," for k in range(4)]
    spec, rows, report = features(tmp_path, "\n".join(["id,f0,f1,", *lines]))
    assert spec.names == ("f0", "f1")
    assert np.isnan(rows[1][0][1])
    assert found(report) == {"non-finite values"}


def test_the_case_of_pandas_comes_in(tmp_path, shared_cases):
    folder = shared_cases / "09_pandas_csv"
    report = import_data([folder / f"{name}.csv" for name in ("label", "audio", "vision")], tmp_path / "store")
    store = Store(tmp_path / "store")
    assert {modality: spec.names for modality, spec in store.specs.items()} == {
        "audio": ("f0", "energy"),
        "vision": ("au01", "au12"),
    }
    assert store[3].streams["audio"].tolist() == [[103.0, 0.5]]
    assert found(report) == {"row numbers"}


def test_the_form_of_a_table_is_reported(tmp_path):
    (tmp_path / "label.csv").write_text(written(delimiter=";", decimal=","), encoding="utf-8")
    report = import_data([tmp_path / "label.csv"], tmp_path / "store")
    assert report.files[0]["form"] == "UTF-8, columns separated by semicolons, decimal comma"


def test_tables_are_told_from_other_files():
    assert looks_like_table(b"id;label\r\n1;2")
    assert looks_like_table("id\tlabel\n".encode("utf-16"))
    assert not looks_like_table(b"\x00\x01,2")
    assert not looks_like_table(b"Dear reader\n, this is prose")
    assert not looks_like_table(b"")


@pytest.mark.posix
def test_a_pipe_is_no_table(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(DataError, match="a pipe"):
        DelimitedTable(Path(tmp_path / "pipe.csv"))


IN_OTHER_ENCODINGS = {
    "gbk": ("GBK", ["这家餐厅的服务态度很好，菜也新鲜。", "我等了一个小时，最后还是走了。", "你觉得怎么样？"]),
    "cp932": ("Shift-JIS", ["この店はサービスがとてもいいです。", "一時間待って、結局帰りました。", "どうでしたか？"]),
    "cp1251": ("Windows-1251", ["В этом ресторане очень хорошо.", "Я ждал целый час и всё-таки ушёл.", "Ну как?"]),
    "cp1252": ("Windows-1252", ["Die Bedienung ist nett, man fühlt sich wohl.", "Über die Straße.", "Schön!"]),
}


@pytest.mark.parametrize("encoding", IN_OTHER_ENCODINGS)
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_a_table_in_the_encoding_of_the_system_comes_in(tmp_path, encoding, delimiter):
    name, texts = IN_OTHER_ENCODINGS[encoding]
    rows = [delimiter.join(["id", "text", "label"])]
    rows += [delimiter.join([f"v{i}_1", f'"{text}"', f'"{i - 1},5"']) for i, text in enumerate(texts)]
    (tmp_path / "label.csv").write_bytes("\r\n".join(rows).encode(encoding))
    report = import_data([tmp_path / "label.csv"], tmp_path / "store")
    store = Store(tmp_path / "store")
    assert store.column("text") == texts
    assert store.column("label") == [-1.5, 0.5, 1.5]
    (finding,) = [finding for finding in report.findings if finding.kind == "other encodings"]
    assert f"read as {name}" in finding.examples[0]


def test_a_table_whose_encoding_is_not_certain_is_refused(tmp_path):
    rows = "id,text,label\nv1_1,café au lait,1\n".encode("cp1252") + "v2_1,naïve,2\n".encode()
    (tmp_path / "label.csv").write_bytes(rows)
    with pytest.raises(DataError, match="encoding"):
        DelimitedTable(tmp_path / "label.csv")


def test_a_large_table_must_be_in_utf(tmp_path, monkeypatch):
    monkeypatch.setattr("mecam.data.importing.sources.delimited.MAX_NOT_UTF_BYTES", 100)
    (tmp_path / "label.csv").write_bytes(b"id,text,label\n" + "v1_1,schöne Straße,1\n".encode("cp1252") * 9)
    with pytest.raises(DataError, match="not in UTF-8, and larger"):
        DelimitedTable(tmp_path / "label.csv")
