"""The report: complete, self-contained, safe against what stands in the data, honest about what is missing."""

import base64
import csv
import gzip
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import vl_convert

from fake_run import EMOTIONS, FEELINGS, SCORES, SENTENCES, make_run
from mecam.errors import TrainingError
from mecam.evaluation.projections import neighbours_agree, project
from mecam.evaluation.reliability import calibration_error
from mecam.report import charts, run_charts
from mecam.report.page import PALETTES
from mecam.report.run_page import write_report
from mecam.runs.predictions import mean_predictions
from mecam.runs.run import RunFolder
from mecam.task import Classes, Regression

SECTIONS = [
    "results",
    "training",
    "predictions",
    "calibration",
    "weights",
    "filter",
    "maps",
    "embeddings",
    "hard",
    "made",
]
VOID = {"meta", "br", "wbr", "img", "hr", "input", "link"}


class Page(HTMLParser):
    """The page without Plotly's script: sections, figures, visible text; every tag closed in its order."""

    def __init__(self, text):
        super().__init__()
        self.sections, self.specs, self.words, self.open, self.scripts, self.loads = [], [], [], [], 0, []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag == "section":
            self.sections.append(values["id"])
        self.loads += [value for name, value in attributes if name in ("src", "href") and not value.startswith("#")]
        if tag == "script":
            self.scripts += 1
        if tag not in VOID:
            self.open.append((tag, values.get("class")))

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == ("script", "spec"):
            self.specs.append(json.loads(data))
        elif self.open and self.open[-1][0] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "scores")


@pytest.fixture(scope="module")
def source(run):
    return write_report(run).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(source):
    return Page(source)


@pytest.fixture(scope="module")
def emotions(tmp_path_factory):
    folder = make_run(tmp_path_factory.mktemp("runs") / "classes", EMOTIONS, synthetic=False)
    return Page(write_report(folder).read_text(encoding="utf-8"))


def test_every_section_is_there_and_linked(page, source):
    assert page.sections == SECTIONS
    assert re.findall(r'<a href="#(\w+)">', source) == SECTIONS


def test_the_page_loads_nothing_from_anywhere(page, source):
    assert page.loads == []
    assert "default-src 'none'" in source
    style = source[source.index("<style>") : source.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def test_what_draws_the_charts_is_packed_into_the_page_once(source):
    packed = re.findall(r'<script type="text/plain" id="vega">([A-Za-z0-9+/=]+)</script>', source)
    assert [b"vegaEmbed" in gzip.decompress(base64.b64decode(one)) for one in packed] == [True]
    assert len(source) < 0.9e6


def test_results_stand_beside_the_constant_predictor(run, page):
    metrics = json.loads((run / "metrics.json").read_text())
    for name in ("mae", "corr", "acc7", "acc2_has0", "f1_nonzero"):
        entry = metrics["test"][name]
        percent = name not in ("mae", "corr")
        shown = f"{100 * entry['mean']:.1f} %" if percent else f"{entry['mean']:.3f}"
        assert shown in page.text
    assert f"{metrics['constant']['test']['mae']['mean']:.3f}" in page.text
    low, high = metrics["test"]["mae"]["ci95"]
    assert f"{low:.3f} to {high:.3f}" in page.text


def test_the_better_one_is_marked_in_the_direction_of_the_metric(tmp_path):
    folder = make_run(tmp_path / "run")
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["test"]["mae"]["mean"], metrics["constant"]["test"]["mae"]["mean"] = 1.5, 1.25
    metrics["test"]["acc7"]["mean"], metrics["constant"]["test"]["acc7"]["mean"] = 0.5, 0.25
    (folder / "metrics.json").write_text(json.dumps(metrics))
    text = write_report(folder).read_text(encoding="utf-8")
    assert '<span class="better">✓ 1.250</span>' in text
    assert '<span class="better">✓ 1.500' not in text
    assert '<span class="better">✓ 50.0 %' in text


def test_a_synthetic_corpus_is_called_so_and_a_real_one_is_not(page, emotions):
    badge = "Synthetic corpus: not comparable with real data"
    assert badge in page.text
    assert badge not in emotions.text


def test_text_from_the_data_is_never_markup(source, page):
    assert "<b>camera</b> work is not bad at all & I would watch it again" in page.text
    assert "test_0<script>" in page.text
    assert "<of everything>" in page.text
    assert page.scripts == len(page.specs) + 2  # Vega and what draws with it


def test_every_chart_can_be_drawn(page, emotions):
    assert len(page.specs) > 12
    assert len(emotions.specs) > 8
    for spec in [*page.specs, *emotions.specs]:
        plain = charts.coloured({**spec, "width": 300}, PALETTES["light"])
        assert "<path" in vl_convert.vegalite_to_svg(plain)


def test_every_colour_is_defined_in_both_themes(source):
    used = set(re.findall(r"var\(--(\w+(?:-\w+)*)\)", source[: source.index('id="vega"')]))
    themes = re.findall(r":root[^{]*\{([^}]*--paper[^}]*)\}", source)
    assert len(themes) == 2
    light, dark = (set(re.findall(r"--([\w-]+):", theme)) for theme in themes)
    assert used - {"weight", "shade", "serif"} <= light
    assert light == dark


def test_worst_utterances_come_first_with_their_text(run, page):
    record = RunFolder.open(run)
    seeds = record.predictions["test"]
    given = mean_predictions(seeds)
    worst = int(np.argmax(np.abs(given.prediction - given.truth)))
    hard = page.text[page.text.index("Largest errors") :]
    assert given.ids[worst] in hard
    first = min(hard.index(name) for name in given.ids if name in hard)
    assert hard.index(given.ids[worst]) == first
    assert hard.index("Least certain") > hard.index(given.ids[worst])
    assert hard.count("predicted") == 20
    assert "disagreement of the seeds" in hard  # all intervals are equally wide
    doubtful = given.ids[int(np.argmax(np.std([p.prediction for p in seeds], axis=0)))]
    least = hard[hard.index("Least certain") :]
    assert least.index(doubtful) == min(least.index(name) for name in given.ids if name in least)
    assert any(sentence and sentence in hard for sentence in SENTENCES)


def test_least_certain_utterances_are_listed_where_certainty_differs(run, tmp_path, emotions):
    assert "Least certain" in emotions.text
    folder = make_run(tmp_path / "run")
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["high"] = float(row["high"]) + (2 if row["id"].startswith("test_77<") else 0)
    with (folder / "predictions.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    text = Page(write_report(folder).read_text(encoding="utf-8")).text
    least = text[text.index("Least certain") :]
    assert least.index("test_77<script>") < min(least.find(f"test_{i}<") % 10**9 for i in range(120) if i != 77)


def test_filter_maps_show_words_and_the_true_place_in_time(source):
    maps = source[source.index('<section id="maps">') :]
    words = re.findall(r'<span class="word gate( injected)?" style="--weight:([\d.]+)">([^<]*)<small>', maps)
    assert [label for _, _, label in words[:5]] == ["I", "really", "loved", "the", "acting"]
    assert [bool(mark) for mark, _, _ in words[:5]] == [False, False, False, True, True]
    assert float(words[3][1]) < 0.2
    strip = re.search(r'<div class="strip"><span>audio.*?</span>(<svg.*?)</div>', maps).group(1)
    injected = re.search(r'<rect class="injected" x="(\d+)" width="(\d+)"', strip)
    assert [int(injected[1]), int(injected[2])] == [200, 200]  # frames 60 to 120 of 300, in thousandths
    cells = re.findall(r'<rect class="gate" x="([\d.]+)" width="([\d.]+)"[^>]*?(?:--weight:([\d.]+))?">', strip)
    assert sum(float(width) for _, width, _ in cells) == pytest.approx(1000)
    for start, width, weight in cells:
        if float(start) >= 200 and float(start) + float(width) <= 400:
            assert float(weight or 1) < 0.5
        elif float(start) + float(width) <= 200 or float(start) >= 400:
            assert float(weight or 1) > 0.5


def rows_of(spec):
    """The data of every layer of a chart."""
    sets = spec.get("datasets", {})
    layers = [spec, *spec.get("layer", [])]
    data = [layer["data"] for layer in layers if "data" in layer]
    return [row for one in data for row in (one["values"] if "values" in one else sets[one["name"]])]


def titled(page, title):
    """The charts whose axes have a title."""
    return [spec for spec in page.specs if f'"title": "{title}"' in json.dumps(spec)]


def test_training_curves_have_a_line_per_seed_and_mark_the_kept_epoch(page):
    curves = [spec for spec in titled(page, "epoch") if any("epoch" in row for row in rows_of(spec))]
    # mae, corr and acc2_nonzero (uar is no metric of this task); task, gate, contrast of two modalities
    lines = [{(row["of"], row["seed"]) for row in rows_of(spec)} for spec in curves]
    assert [len(one) for one in lines] == [3, 3, 3, 3, 3, 6]
    assert {of for of, _ in lines[5]} == {"text", "audio"}
    for spec in curves:
        kept = [row for row in rows_of(spec) if row["best"]]
        assert len({(row["of"], row["seed"]) for row in kept}) == len(
            {(row["of"], row["seed"]) for row in rows_of(spec)}
        )
    first = [row for row in rows_of(curves[0]) if row["seed"] == 1111]
    undefined = [row for row in rows_of(curves[1]) if row["seed"] == 1111]
    assert len(undefined) == len(first) - 1  # corr was undefined in the first epoch


def test_loss_terms_are_told_in_words(page):
    assert "Contrast : utterances with similar labels are pulled together" in page.text
    assert "error of the prediction." in page.text


def test_how_it_was_made_is_told_in_full(page):
    made = page.text[page.text.index("How it was made mecam train") :]
    for fact in (
        "2.13.0+cpu",
        "Some CPU @ 2.40GHz",
        "1111, 1112, 1113",
        "5 min 12 s",
        "0123456789abcdef" * 4,
        "abc1234",
    ):
        assert fact in made
    assert "mecam train --data stores/made-up --out runs/fake --seeds 3" in made
    assert "width: 64" in made


def test_classes_have_their_own_sections(emotions):
    assert emotions.sections == SECTIONS
    for words in ("uar", "Confidence against accuracy", "Least probability for the true class", "surprised"):
        assert words in emotions.text
    assert "Residuals" not in emotions.text


def test_what_is_absent_is_left_out(tmp_path):
    """A plain model: no filter, no shares, no intervals, one seed, no words."""
    folder = make_run(tmp_path / "run")
    (folder / "filter_maps.json").unlink()
    (folder / "embeddings.npz").unlink()
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics.pop("filter")
    metrics.pop("calibration")
    for table in (metrics["test"], metrics["valid"]):
        for entry in table.values():
            entry["std"], entry["ci95"] = None, None
    (folder / "metrics.json").write_text(json.dumps(metrics))
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["seed"] == "1111"]
    kept = ["split", "seed", "id", "video", "truth", "prediction"]
    with (folder / "predictions.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, kept, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    page = Page(write_report(folder).read_text(encoding="utf-8"))
    assert page.sections == ["results", "training", "predictions", "hard", "made"]
    assert "Least certain" not in page.text  # one seed, no interval: nothing tells
    assert "None" not in page.text
    assert "nan" not in page.text.split()


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "labels", FEELINGS)


@pytest.fixture(scope="module")
def feelings(several):
    return Page(write_report(several).read_text(encoding="utf-8"))


def test_several_labels_have_every_section_too(feelings):
    assert feelings.sections == SECTIONS
    for words in ("wa_mean", "Labels given where a label is true", "calibration error", "true labels", "AUROC"):
        assert words in feelings.text


def test_several_labels_are_counted_one_by_one(several, feelings):
    record = RunFolder.open(several)
    given = mean_predictions(record.predictions["test"])
    truth, said = given.truth > 0, given.prediction >= 0.5
    for i, name in enumerate(FEELINGS.names):
        hits, true, told = (truth & said)[:, i].sum(), truth[:, i].sum(), said[:, i].sum()
        assert f"{name} {true} {told} {100 * hits / told:.1f} % {100 * hits / true:.1f} %" in feelings.text
    matrix = rows_of(next(spec for spec in feelings.specs if "shade" in rows_of(spec)[0]))
    cell = next(one for one in matrix if (one["y"], one["x"]) == FEELINGS.names[:2])
    both = (truth[:, 0] & said[:, 1]).sum()
    assert cell["text"] == str(both)
    assert cell["shade"] == pytest.approx(both / truth[:, 0].sum(), abs=1e-4)


def test_an_utterance_without_any_label_is_drawn_and_named(several, feelings):
    truth = RunFolder.open(several).predictions["test"][0].truth > 0
    names = {row.get("is") for spec in feelings.specs for row in rows_of(spec)}
    assert (~truth.any(axis=1)).any()
    assert {"none", "several"} <= names


@pytest.mark.parametrize("name", ["config.yaml", "environment.json", "metrics.json", "history.csv", "predictions.csv"])
def test_a_run_that_is_not_whole_is_refused_by_name(tmp_path, name):
    folder = make_run(tmp_path / "run")
    (folder / name).unlink()
    with pytest.raises(TrainingError, match=name):
        write_report(folder)
    assert not (folder / "report.html").exists()
    assert not list(folder.glob(".*"))


def test_damaged_json_is_refused(tmp_path):
    folder = make_run(tmp_path / "run")
    (folder / "metrics.json").write_text("{")
    with pytest.raises(TrainingError, match="not valid JSON"):
        write_report(folder)


def test_seeds_are_averaged_by_id_not_by_row(tmp_path):
    folder = make_run(tmp_path / "run")
    before = RunFolder.open(folder).predictions["test"]
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    first = [row for row in rows if row["seed"] == "1111"]
    others = [row for row in rows if row["seed"] != "1111"][::-1]
    with (folder / "predictions.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(first + others)
    after = RunFolder.open(folder).predictions["test"]
    assert len(after) == 3
    for one, other in zip(after, before, strict=True):
        assert one.ids == other.ids
        np.testing.assert_array_equal(one.prediction, other.prediction)


def test_plane_finds_the_plane_and_points_its_axes_to_the_truth():
    rng = np.random.default_rng(0)
    truth = rng.uniform(-3, 3, 400)
    basis, _ = np.linalg.qr(rng.normal(size=(10, 2)))
    flat = np.column_stack([-truth, rng.normal(0, 0.5, 400)])
    points = project(flat @ basis.T + 4, truth)
    assert np.corrcoef(points[:, 0], truth)[0, 1] > 0.99
    assert np.linalg.norm(points) == pytest.approx(np.linalg.norm(flat - flat.mean(axis=0)))
    assert project(np.ones((5, 1)), truth[:5]).shape == (5, 2)


def test_utterances_without_a_modality_are_not_drawn_in_its_picture(tmp_path):
    folder = make_run(tmp_path / "run")
    with np.load(folder / "embeddings.npz") as file:
        arrays = {name: file[name] for name in file.files}
    arrays["before_audio"][:7], arrays["after_audio"][:7] = 0, 0
    arrays["before_vision"][:], arrays["after_vision"][:] = 0, 0
    np.savez(folder / "embeddings.npz", **arrays)
    page = Page(write_report(folder).read_text(encoding="utf-8"))
    rows = next(rows for rows in map(rows_of, page.specs) if any("is" in row for row in rows))
    panels = list({row["name"]: row for row in rows if "name" in row}.values())
    assert [row["name"] for row in panels] == ["text, before", "text, after", "audio, before", "audio, after"]
    dots = [row for row in rows if "is" in row]
    inside = [sum(p["x"] <= d["x"] <= p["x2"] and p["y"] <= d["y"] <= p["y2"] for d in dots) for p in panels]
    assert inside == [120, 120, 113, 113]
    assert len(dots) == sum(inside)


def test_many_utterances_are_thinned_and_it_is_said():
    assert charts.thinning(1500) == ""
    assert charts.thinning(20_000) == " 1500 of 20000 utterances are drawn."
    shown = charts.thinned(20_000)
    assert shown[0] == 0
    assert shown[-1] == 19_999
    drawn = run_charts.predicted_against_true(np.zeros(20_000), np.zeros(20_000), (-3.0, 3.0), None)
    assert len(rows_of(drawn.to_dict())) == 1500 + 2  # and the ends of the diagonal


def test_an_unknown_task_is_an_error_that_names_the_file(tmp_path):
    folder = make_run(tmp_path / "run")
    environment = json.loads((folder / "environment.json").read_text())
    environment["data"]["task"] = "regression"
    (folder / "environment.json").write_text(json.dumps(environment))
    with pytest.raises(TrainingError, match="data\\.task"):
        write_report(folder)


def test_a_range_of_its_own_is_drawn_in_it(tmp_path):
    folder = make_run(tmp_path / "run", Regression(1.0, 5.0))
    assert "predictions" in Page(write_report(folder).read_text(encoding="utf-8")).sections


def test_before_and_after_are_one_picture_with_one_legend(page, emotions, run):
    def picture(specs):
        return next(spec for spec in specs if any("is" in row for row in rows_of(spec)))

    dots = [row["is"] for row in rows_of(picture(page.specs)) if "is" in row]
    with np.load(run / "embeddings.npz") as file:
        truth = file["truth"]
    np.testing.assert_allclose(dots, np.tile(truth, 6), atol=1e-4)  # the same utterances in every panel, in order
    (layer,) = [layer for layer in picture(emotions.specs)["layer"] if "color" in layer["encoding"]]
    assert layer["encoding"]["color"]["scale"]["domain"] == list(EMOTIONS.names)


def test_neighbours_agree_where_the_embedding_follows_the_truth():
    rng = np.random.default_rng(0)
    truth = rng.uniform(-3, 3, 300)
    follows = truth[:, None] * rng.normal(0, 1, (1, 8)) + rng.normal(0, 0.3, (300, 8))
    assert neighbours_agree(follows, truth, SCORES) > 0.95
    assert abs(neighbours_agree(rng.normal(0, 1, (300, 8)), truth, SCORES)) < 0.3
    classes = rng.integers(0, 8, 300).astype(float)
    apart = np.eye(8)[classes.astype(int)] + rng.normal(0, 0.05, (300, 8))
    assert neighbours_agree(apart, classes, EMOTIONS) == 1
    assert neighbours_agree(follows[:8], truth[:8], SCORES) is None


def test_tsne_keeps_groups_together():
    rng = np.random.default_rng(0)
    groups = np.repeat([0.0, 1.0, 2.0], 30)
    points = project(10 * np.eye(6)[groups.astype(int)] + rng.normal(0, 0.1, (90, 6)), groups, "tsne")
    assert neighbours_agree(points, groups, Classes(("a", "b", "c"))) == 1


def test_the_table_of_intervals_is_conformal_prediction(run, page):
    record = RunFolder.open(run)
    halves, rates = [], []
    for valid, test in zip(record.predictions["valid"], record.predictions["test"], strict=True):
        errors = np.sort(np.abs(valid.prediction - valid.truth))
        halves.append(errors[int(np.ceil(61 * 0.8)) - 1])
        rates.append((np.abs(test.prediction - test.truth) <= halves[-1]).mean())
    assert f"80 % ± {np.mean(halves):.2f} {100 * np.mean(rates):.1f} %" in page.text
    assert "99 % too few utterances" in page.text  # 60 utterances cannot promise 99 %


def test_the_calibration_error_of_a_liar_is_what_it_lies():
    assert calibration_error(np.full(100, 0.9), np.r_[np.ones(60), np.zeros(40)]) == pytest.approx(0.3)
    assert calibration_error(np.array([0.25, 0.25, 0.25, 0.25]), np.array([1.0, 0, 0, 0])) == pytest.approx(0)


def test_the_filter_table_holds_its_intervals(page):
    text = page.text[page.text.index("Does the filter find") :]
    assert "0.93 ± 0.01 0.90 to 0.95" in text


COMPARISON = {
    "split": "test",
    "baseline": "text <only>",
    "rows": [
        {
            "name": name,
            "note": "",
            "scores": {
                metric: {
                    "mean": mean,
                    "std": 0.01,
                    "ci95": [mean - 0.05, mean + 0.05],
                    "per_seed": [mean - 0.01, mean + 0.01],
                    "best": best,
                    "tied": False,
                    "against_baseline": {"value": mean - 0.8, "ci95": None, "p_value": 0.01, "p_holm": 0.02}
                    if best
                    else None,
                }
                for metric in ("mae", "corr", "acc7")
            },
        }
        for name, mean, best in (("mecam", 0.7, True), ("text <only>", 0.8, False))
    ],
}


def test_other_runs_stand_beside_where_a_comparison_lies_in_the_folder_or_is_given(tmp_path):
    folder = make_run(tmp_path / "run")
    given = Page(write_report(folder, comparison=COMPARISON).read_text(encoding="utf-8"))
    assert given.sections == [SECTIONS[0], "comparison", *SECTIONS[1:]]
    text = given.text[given.text.index("Compared with other runs") :]
    assert "mecam 0.700 ± 0.010 0.650 to 0.750 Δ −0.100, p = .020*" in text
    assert "text <only> 0.800" in text
    assert Page(write_report(folder).read_text(encoding="utf-8")).sections == SECTIONS
    (folder / "comparison.json").write_text(json.dumps(COMPARISON), encoding="utf-8")
    lying = Page(write_report(folder).read_text(encoding="utf-8"))
    assert lying.sections == given.sections
    assert lying.text == given.text
