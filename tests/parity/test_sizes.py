"""How many numbers a model learns, from the widths of its parts: the models of the years 2020 to 2024."""

import dataclasses
import math
from typing import Any

import pytest

from mecam.errors import ConfigError, ModelError
from mecam.models.inputs import Inputs
from mecam.models.registry import MODELS
from mecam.task import Regression
from mecam.types import FeatureSpec

F = {"audio": 5, "physio": 2, "text": 6, "vision": 3}
"""Widths of the rows, text features among them."""
OTHERS = [m for m in F if m != "text"]
SIZES = {
    "width": 8,
    "text_width": 7,
    "heads": 2,
    "layers": 2,
    "rounds": 3,
    "fusion_layers": 2,
    "tokens": 3,
    "recurrent": 3,
    "joint": 9,
    "own": 5,
    "gated": 6,
    "words": 4,
    "hidden": 11,
}


def linear(into: int, out: int) -> int:
    return into * out + out


def recurrent(into: int, hidden: int) -> int:
    return 4 * hidden * (into + hidden) + 8 * hidden + linear(hidden, hidden)


def block(width: int, hidden: int) -> int:
    return 4 * linear(width, width) + 3 * 2 * width + linear(width, hidden) + linear(hidden, width)


def projections(o: Any) -> int:
    return sum(linear(width * (1 if m == "text" else o.kernel), o.width) for m, width in F.items())


def own_tasks(into: int, own: int) -> int:
    return len(F) * (linear(into, own) + linear(own, 1))


def hyper_modality(o: Any) -> int:
    d, rounds = o.width, o.rounds
    each = 2 * d * (1 + len(OTHERS)) + d * d + 2 * d * d * len(OTHERS) + linear(d, d)
    return o.tokens * d + rounds * each + (rounds - 1) * block(d, d)


def self_mm(o: Any) -> int:
    r = o.recurrent
    fused = linear(r * len(F), o.joint) + linear(o.joint, 1)
    return sum(recurrent(f, r) for f in F.values()) + fused + own_tasks(r, o.own)


def mmim(o: Any) -> int:
    r, j = o.recurrent, o.joint
    fused = linear(r * len(F), j) + linear(j, j) + linear(j, 1) + len(F) * linear(j, r)
    return sum(recurrent(f, r) for f in F.values()) + fused + len(OTHERS) * 4 * linear(r, r)


def tetfn(o: Any) -> int:
    d, n = o.width, len(OTHERS)
    to_text = n * o.layers * block(d, 2 * d)
    to_others = n * (n - 1) * (1 + o.layers) * block(d, 2 * d)
    entering = linear(d * (1 + n), d) + n * linear(d * n, d)
    ends = len(F) * (block(d, 2 * d) + 2 * d)
    fused = linear(d * len(F), o.joint) + linear(o.joint, 1)
    return projections(o) + to_text + to_others + entering + ends + fused + own_tasks(d, o.own)


def cenet(o: Any) -> int:
    d = o.width
    dictionaries = sum(o.words * (F[m] + d) for m in OTHERS)
    shift = len(OTHERS) * 4 * linear(d, d) + linear(len(OTHERS) * d, d)
    return dictionaries + shift + linear(F["text"], d) + o.layers * block(d, 2 * d) + linear(d, 1)


def almt(o: Any) -> int:
    d = o.width
    entering = sum(linear(f, d) for f in F.values()) + len(F) * (o.tokens * d + block(d, d))
    fusion = d + o.fusion_layers * block(d, d) + 2 * d
    return entering + hyper_modality(o) + fusion + linear(d, 1)


def lnln(o: Any) -> int:
    d = o.width

    def summary(tokens: int) -> int:
        return tokens * d + o.layers * block(d, d)

    entering = sum(linear(f, d) for f in F.values()) + len(F) * summary(o.tokens)
    correction = summary(1) + linear(d, 1) + summary(o.tokens) + linear(d, d // 2) + linear(d // 2, 1)
    fusion = d + o.layers * block(d, d) + 2 * d
    return entering + correction + len(F) * o.layers * block(d, d) + hyper_modality(o) + fusion + linear(d, 1)


def tfr_net(o: Any) -> int:
    d, everything = o.width, o.width * len(F)
    attention = len(F) ** 2 * o.layers * block(d, 2 * d)
    rebuilding = sum(linear(everything, f) for f in F.values())
    gates = len(F) * 2 * linear(3 * everything, o.gated)
    return projections(o) + attention + rebuilding + gates + linear(o.gated * len(F), o.joint) + linear(o.joint, 1)


def multitask(o: Any) -> int:
    t, w, h = o.text_width, o.width, o.hidden
    subnets = 4 * t * (F["text"] + t) + 8 * t + linear(t, t) + sum(linear(F[m], w) + 2 * linear(w, w) for m in OTHERS)
    widths = [t] + [w] * len(OTHERS)
    fused = {
        "mlf_dnn": linear(sum(widths), h),
        "mtfn": linear(math.prod(x + 1 for x in widths), h),
        "mlmf": o.rank * sum(x + 1 for x in widths) * h + o.rank + h + linear(h, h),
    }[o.base]
    return subnets + fused + linear(h, 1) + sum(linear(x, o.own) + linear(o.own, 1) for x in widths)


FORMULAS = [self_mm, mmim, tetfn, cenet, almt, lnln, tfr_net, multitask]


def inputs(unimodal: tuple[str, ...] = tuple(F)) -> Inputs:
    return Inputs(Regression(), {m: FeatureSpec(width) for m, width in F.items()}, unimodal=unimodal)


@pytest.mark.parametrize(
    ("formula", "changes"),
    [(formula, {}) for formula in FORMULAS] + [(multitask, {"base": "mtfn"}), (multitask, {"base": "mlmf"})],
)
def test_the_number_of_parameters_is_that_of_the_formula(formula: Any, changes: dict[str, Any]) -> None:
    entry = MODELS[formula.__name__]
    known = {item.name for item in dataclasses.fields(entry.config)}
    options = entry.config(**{key: value for key, value in SIZES.items() if key in known}, **changes)
    assert sum(p.numel() for p in entry.model(options, inputs()).parameters()) == formula(options)


def test_multi_task_learning_says_what_it_misses() -> None:
    entry = MODELS["multitask"]
    with pytest.raises(ModelError, match="this data has none"):
        entry.model(entry.config(), inputs(unimodal=("gestures",)))
    assert entry.model(entry.config(), inputs(unimodal=("audio",))).labelled == ("audio",)
    with pytest.raises(ModelError, match="more than 2,000,000"):
        entry.model(entry.config(base="mtfn"), inputs())


@pytest.mark.parametrize("name", ["almt", "cenet", "lnln", "mmim", "tetfn"])
def test_models_that_the_language_leads_need_it(name: str) -> None:
    entry = MODELS[name]
    without = Inputs(Regression(), {m: FeatureSpec(F[m]) for m in OTHERS})
    with pytest.raises(ModelError, match="needs text"):
        entry.model(entry.config(), without)


@pytest.mark.parametrize("name", ["almt", "cenet", "lnln", "tetfn", "tfr_net"])
def test_heads_that_do_not_divide_the_width_are_told_so(name: str) -> None:
    entry = MODELS[name]
    with pytest.raises(ConfigError, match=r"model\.heads: 5 does not divide the width 8"):
        entry.model(entry.config(width=8, heads=5), inputs())
