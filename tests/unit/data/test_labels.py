"""Whole numbers may be classes or scores, and a score is never bent into a scale: asked or refused, never guessed."""

import math
import pickle

import numpy as np
import pytest

from import_layouts import make_clips, mmsa
from mecam.cli.data import parse_task
from mecam.data.importing.importer import import_data
from mecam.data.importing.joining import Findings
from mecam.data.importing.labels import infer_task, label_of, unimodal_of
from mecam.data.importing.sources.base import Row
from mecam.data.store import Store
from mecam.errors import DataError
from mecam.task import Classes, Labels, Regression


def rows(*scores, **more):
    return [Row(f"v_{index}", labels={"score": float(score)}, **more) for index, score in enumerate(scores)]


@pytest.mark.parametrize(
    "scores", [(0, 1, 2, 3, 4, 5, 6), (1, 2, 3), (0, 1), (0, 1, 2), (1, 2, 3, 4, 5), range(1, 8), range(1, 10)]
)
def test_whole_numbers_are_a_question_with_both_answers(scores):
    with pytest.raises(DataError, match="may be classes or scores") as caught:
        infer_task(rows(*scores))
    answers = [part for part in caught.value.fix.split() if ":" in part and part.startswith(("classes", "regression"))]
    classes, scale = map(parse_task, answers)
    assert classes == Classes(tuple(str(score) for score in scores))
    assert scale == Regression(float(min(scores)), float(max(scores)))
    for task in (classes, scale):
        assert [label_of(row, task, Findings()) is not None for row in rows(*scores)] == [True] * len(scores)


@pytest.mark.parametrize("scores", [(-3, -1, 0, 2), (-1, 0, 1), (1.5, 2, 3), (0, 0.4, 1)])
def test_scores_below_zero_or_between_whole_numbers_are_scores(scores):
    assert infer_task(rows(*scores)) == Regression(-3.0, 3.0)


def test_where_the_file_says_that_they_are_scores_nobody_is_asked():
    assert infer_task(rows(0, 1, 2, scored=True)) == Regression(-3.0, 3.0)


@pytest.mark.parametrize(("scores", "ends"), [((-4.0, 2.5), "-4..3"), ((0.5, 80.25), "0..81"), ((-1, 9), "-1..9")])
def test_scores_of_no_known_scale_are_refused_with_the_way_out(scores, ends):
    with pytest.raises(DataError, match="none of the known scales") as caught:
        infer_task(rows(*scores))
    assert f"--task regression:{ends}" in caught.value.fix


@pytest.mark.parametrize("score", [1e300, -1e300, 44.0, 3.5])
def test_a_score_far_off_the_scale_is_never_clipped(score):
    task = Regression(-3.0, 3.0)
    with pytest.raises(DataError, match="none of the known scales"):
        infer_task(rows(0.5, -0.5, score))
    with pytest.raises(DataError, match="outside of the scale -3 to 3"):
        label_of(rows(score)[0], task, Findings())
    with pytest.raises(DataError, match="outside of the scale"):
        unimodal_of(Row("v", unimodal={"text": score}), task, Findings())


def test_the_ends_of_the_old_mosei_labels_are_set_to_the_end_and_counted():
    findings = Findings()
    assert label_of(rows(10 / 3)[0], Regression(-3.0, 3.0), findings) == 3.0
    assert [(f.kind, f.count) for f in findings.all()] == [("labels out of range", 1)]


@pytest.mark.parametrize("score", [math.inf, -math.inf, math.nan])
def test_what_is_no_number_is_a_missing_label(score):
    findings = Findings()
    assert label_of(rows(score)[0], Regression(), findings) is None
    assert [f.kind for f in findings.all()] == ["missing labels"]


@pytest.mark.parametrize("written", [{"score": 2.0}, {"emotion": "2"}, {"label": "2.0"}, {"polarity": "2"}])
def test_a_class_is_known_however_its_number_is_written(written):
    assert label_of(Row("v", labels=written), Classes(("1", "2")), Findings()) == "2"


def test_classes_are_known_in_any_case_and_keep_the_spelling_of_the_task():
    row = Row("v", labels={"emotion": "happy"})
    assert label_of(row, Classes(("Happy", "Sad")), Findings()) == "Happy"


def test_intensities_of_1e300_are_refused():
    with pytest.raises(DataError, match="not an intensity"):
        label_of(Row("v", labels={"happy": 1e300}), Labels(("happy",)), Findings())


def table(tmp_path, labels):
    lines = [f"v{i // 2},{i % 2},sentence {i},{label},train" for i, label in enumerate(labels)]
    (tmp_path / "label.csv").write_text("\n".join(["video_id,clip_id,text,label,mode", *lines]))
    return tmp_path / "label.csv"


def test_the_option_makes_classes_of_numbers(tmp_path):
    file = table(tmp_path, ["0", "1.0", "2", "0.0", " 1", "2"])
    with pytest.raises(DataError, match="--task classes:0,1,2"):
        import_data([file], tmp_path / "store")
    import_data([file], tmp_path / "store", task=parse_task("classes:0,1,2"))
    assert Store(tmp_path / "store").column("label") == ["0", "1", "2", "0", "1", "2"]
    import_data([file], tmp_path / "scores", task=parse_task("regression:0..2"))
    assert Store(tmp_path / "scores").column("label") == [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]


def test_a_task_that_no_label_fits_names_what_there_is(tmp_path):
    with pytest.raises(DataError, match=r"no utterance has a label of the task \(good, bad\); there are 1.5, 2.5"):
        import_data([table(tmp_path, ["1.5", "2.5"])], tmp_path / "store", task=parse_task("classes:good,bad"))


@pytest.mark.parametrize(("name", "classes"), [("seven.csv", 7), ("one_based.csv", 3)])
def test_the_cases_of_numeric_classes(tmp_path, shared_cases, name, classes):
    file = shared_cases / "17_numeric_classes" / name
    with pytest.raises(DataError, match="classes or scores") as caught:
        import_data([file], tmp_path / "store")
    option = next(word for word in caught.value.fix.split() if word.startswith("classes:"))
    import_data([file], tmp_path / "store", task=parse_task(option))
    store = Store(tmp_path / "store")
    assert (len(store), len(set(store.column("label"))), store.task.kind) == (24, classes, "classes")


@pytest.mark.parametrize(
    ("text", "ends"), [("regression", (-3, 3)), ("regression:-1..1", (-1, 1)), ("regression:0,9.5", (0, 9.5))]
)
def test_the_scale_of_a_task(text, ends):
    assert parse_task(text) == Regression(*map(float, ends))


def test_mmsa_says_that_its_labels_are_scores(tmp_path):
    widths, longest = {"audio": 5, "vision": 20}, {"audio": 9, "vision": 9}
    clips = make_clips(widths, longest)
    for index, clip in enumerate(clips):
        clip.label = float(index % 3)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(mmsa(clips, longest, widths)))
    import_data([tmp_path / "a.pkl"], tmp_path / "store")
    assert sorted(set(Store(tmp_path / "store").column("label"))) == [0.0, 1.0, 2.0]


def test_labels_of_an_npz_are_a_question_too(tmp_path):
    np.savez(tmp_path / "a.npz", audio_train=np.ones((4, 3)), y_train=np.array([0, 1, 2, 1]))
    with pytest.raises(DataError, match="classes or scores"):
        import_data([tmp_path / "a.npz"], tmp_path / "store")
    import_data([tmp_path / "a.npz"], tmp_path / "store", task=parse_task("classes:0,1,2"))
    assert Store(tmp_path / "store").column("label") == ["0", "1", "2", "1"]


@pytest.mark.parametrize(("classes", "names"), [(3, {"negative", "neutral", "positive"}), (5, set("01234"))])
def test_classes_of_mmsa_are_polarities_where_there_are_three(tmp_path, classes, names):
    widths, longest = {"audio": 5, "vision": 20}, {"audio": 9, "vision": 9}
    content = mmsa(make_clips(widths, longest), longest, widths)
    for part in content.values():
        del part["regression_labels"], part["annotations"]
        part["classification_labels"] = np.arange(len(part["id"])) % classes
    content["test"]["classification_labels"][:] = [classes - 1, 1, classes - 1]
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    import_data([tmp_path / "a.pkl"], tmp_path / "store")
    store = Store(tmp_path / "store")
    assert len(store) == 9
    assert set(store.task.names) <= names
    assert store.column("label")[-1] == ("positive" if classes == 3 else "4")
