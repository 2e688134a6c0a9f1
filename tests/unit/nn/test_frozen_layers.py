"""Frozen layers are computed once for a text, and what is read of it stays the same."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    AutoModel,
    BertConfig,
    DebertaV2Config,
    ElectraConfig,
    ModernBertConfig,
    MPNetConfig,
    RobertaConfig,
)

from mecam.data.store import Store
from mecam.nn import encoded_texts as kept_texts
from mecam.nn.encoded_texts import EncodedTexts, encoded_texts
from mecam.nn.text import TextEncoder
from mecam.training.preparation import Material, prepare

SIZES = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24}
TOLERANCE = 1e-5
"""Other padding and other neighbours change the last digits."""

LENGTHS = (3, 5, 6, 6, 9)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of what is kept."""
    monkeypatch.setenv("MECAM_TEXT_CACHE", str(tmp_path / "texts"))
    return tmp_path / "texts"


@pytest.fixture(
    params=[
        BertConfig(**SIZES),
        MPNetConfig(**SIZES),
        RobertaConfig(**SIZES),
        ElectraConfig(**SIZES, embedding_size=8),
        ModernBertConfig(**SIZES, pad_token_id=0, global_attn_every_n_layers=2),
        DebertaV2Config(**SIZES, relative_attention=True, pos_att_type=["p2c"]),
    ],
    ids=lambda config: config.model_type,
)
def architecture(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A tiny encoder of random weights."""
    torch.manual_seed(0)
    AutoModel.from_config(request.param).save_pretrained(tmp_path / "encoder")
    return str(tmp_path / "encoder")


@pytest.fixture
def bert(tmp_path: Path) -> str:
    """A tiny BERT."""
    torch.manual_seed(0)
    AutoModel.from_config(BertConfig(**SIZES)).save_pretrained(tmp_path / "bert")
    return str(tmp_path / "bert")


def texts() -> tuple[Tensor, Tensor]:
    """Five texts, padded."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(5, 50, (len(LENGTHS), max(LENGTHS)), generator=generator)
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    return ids.masked_fill(~mask, 0), mask


def rows(count: int) -> list[list[int]]:
    ids, _ = texts()
    return [ids[i, :n].tolist() for i, n in enumerate(LENGTHS[:count])]


def remembering(encoder: TextEncoder, count: int) -> TextEncoder:
    encoder.remember(rows(count))
    return encoder


def layers_run(encoder: TextEncoder) -> list[int]:
    """How many texts its first layer has computed, pass by pass."""
    sizes: list[int] = []
    inside = next(part for part in encoder.layer(1).modules() if isinstance(part, nn.Linear))
    inside.register_forward_hook(lambda _, given, __: sizes.append(len(given[0])))
    return sizes


@pytest.mark.parametrize("options", [{"frozen_layers": 2}, {"frozen_layers": 3}, {"frozen": True}])
@pytest.mark.parametrize("count", [5, 3])
def test_what_is_read_is_the_same_with_and_without(
    architecture: str, place: Path, options: dict[str, int], count: int
) -> None:
    plain, reusing = (TextEncoder(architecture, **options).eval() for _ in range(2))
    remembering(reusing, count)
    ids, mask = texts()
    for _ in ("made", "found"):
        torch.testing.assert_close(reusing(ids, mask), plain(ids, mask), atol=TOLERANCE, rtol=0)
    assert reusing.frozen_layers is not None
    assert (reusing.frozen_layers.asked, reusing.frozen_layers.found) == (2 * count, count)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_the_upper_layers_learn_the_same(architecture: str, place: Path, kind: torch.dtype) -> None:
    ids, mask = texts()
    gradients = []
    for count in (0, 4):
        encoder = remembering(TextEncoder(architecture, frozen_layers=2).train(), count)
        for part in encoder.modules():
            part.p = 0.0  # type: ignore[assignment]
        for _ in range(2):
            encoder.zero_grad()
            with torch.autocast("cpu", kind, enabled=kind != torch.float32):
                encoder(ids, mask).float().square().sum().backward()
        gradients.append({n: p.grad for n, p in encoder.named_parameters() if p.grad is not None})
    plain, reusing = gradients
    assert plain.keys() == reusing.keys()
    assert any("layer" in name for name in plain)
    scale = max(float(g.abs().max()) for g in plain.values())
    tolerance = (1e-4 if kind == torch.float32 else 3e-2) * scale
    for name, gradient in plain.items():
        torch.testing.assert_close(reusing[name], gradient, atol=tolerance, rtol=0)


def test_what_all_layers_share_is_frozen_with_the_first(tmp_path: Path) -> None:
    """MPNet's position bias, trained, would change what its frozen layers give."""
    torch.manual_seed(0)
    AutoModel.from_config(MPNetConfig(**SIZES)).save_pretrained(tmp_path)

    def learns(frozen: int) -> bool:
        network = TextEncoder(str(tmp_path), frozen_layers=frozen).network
        return bool(network.encoder.relative_attention_bias.weight.requires_grad)

    assert [learns(0), learns(1)] == [True, False]


def test_a_known_text_is_computed_once_for_all_models(bert: str, place: Path) -> None:
    ids, mask = texts()
    known = rows(5)
    first, second = (TextEncoder(bert, frozen_layers=1).eval() for _ in range(2))
    for one in (first, second):
        one.remember(known)
    sizes, later = layers_run(first), layers_run(second)
    results = [first(ids, mask), first(ids, mask), second(ids, mask), second(ids[[3, 1]], mask[[3, 1]])[[1, 0]]]
    assert len(sizes) == len(set(LENGTHS))  # those of one length together
    assert not later
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])
    torch.testing.assert_close(results[3], results[0][[1, 3]], atol=TOLERANCE, rtol=0)


def test_other_weights_layers_or_numbers_are_another_text(bert: str, place: Path) -> None:
    ids, mask = texts()
    known = rows(5)
    reader = TextEncoder(bert, frozen_layers=1).eval()
    reader.remember(known)
    reader(ids, mask)
    sizes = layers_run(reader)
    with torch.autocast("cpu", torch.bfloat16):
        reader(ids, mask)
    assert len(sizes) == len(set(LENGTHS))
    changed = {key: value + 0.01 for key, value in reader.state_dict().items()}
    reader.load_state_dict(changed)
    plain = TextEncoder(bert, frozen_layers=1).eval()
    plain.load_state_dict(changed)
    torch.testing.assert_close(reader(ids, mask), plain(ids, mask), atol=TOLERANCE, rtol=0)
    deeper = TextEncoder(bert, frozen_layers=2).eval()
    deeper.remember(known)
    deeper(ids, mask)
    assert deeper.frozen_layers is not None
    assert deeper.frozen_layers.found == 0


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_what_is_kept_does_not_depend_on_what_it_was_read_with(
    bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: torch.dtype
) -> None:
    ids = torch.randint(5, 50, (30, 6), generator=torch.Generator().manual_seed(2))
    results = []
    for name, order in {"together": torch.arange(30), "apart": torch.arange(29, -1, -1)}.items():
        monkeypatch.setenv("MECAM_TEXT_CACHE", str(tmp_path / name))
        reader = TextEncoder(bert, frozen_layers=3).eval()
        reader.remember(ids.tolist())
        with torch.no_grad(), torch.autocast("cpu", kind, enabled=kind != torch.float32):
            for some in order.split(30 if name == "together" else 7):
                reader(ids[some], torch.ones(len(some), 6, dtype=torch.bool))
            results.append(reader(ids, torch.ones(30, 6, dtype=torch.bool)))
    assert torch.equal(*results)


def test_a_zero_with_a_minus_is_a_zero(bert: str, place: Path) -> None:
    """The running average of the weights turns one into the other."""
    ids, mask = texts()
    reader = TextEncoder(bert, frozen_layers=1).eval()
    reader.remember(rows(5))
    weights = reader.state_dict()
    for zero in (0.0, -0.0):
        reader.load_state_dict({key: torch.where(value.abs() < 0.01, zero, value) for key, value in weights.items()})
        reader(ids, mask)
    assert reader.frozen_layers is not None
    assert (reader.frozen_layers.asked, reader.frozen_layers.found) == (10, 5)


def test_nothing_is_kept_where_it_is_switched_off(bert: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MECAM_TEXT_CACHE", "off")
    assert encoded_texts() is None
    ids, mask = texts()
    reader = TextEncoder(bert, frozen_layers=1).eval()
    reader.remember(rows(5))
    sizes = layers_run(reader)
    reader(ids, mask)
    assert sizes == [len(LENGTHS)]


def test_a_training_reuses_the_texts_of_its_splits(encoder: str, store: Store, place: Path) -> None:
    from mecam.data.mixture import WeightedStore
    from mecam.training.run import RunConfig

    values = {"model": {"name": "text_only", "encoder": encoder, "freeze_layers": 1}, "data": {"batch_size": 4}}
    config = RunConfig.decode(values)
    material = Material.of(config, [WeightedStore(store)])
    found = []
    for seed in (1, 2):
        trained, splits, _ = prepare(config, material, seed)
        reader = trained.model.get_submodule("encoders.text")
        assert isinstance(reader, TextEncoder)
        assert reader.frozen_layers is not None
        trained.model.eval()(trained.collator(list(splits["train"])))
        found.append((reader.frozen_layers.asked, reader.frozen_layers.found))
    (asked, new), (again, all_of_them) = found
    assert asked == again == all_of_them > new == 0


WRITER = """
import sys
from pathlib import Path
from mecam.nn.encoded_texts import EncodedTexts
shared = EncodedTexts(Path(sys.argv[1]))
for number in range(50):
    shared.put({f"{sys.argv[2]} {number}".encode(): bytes([number]) * 1000})
"""


def test_processes_share_the_file(tmp_path: Path) -> None:
    names = ("one", "another", "a third")
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name]) for name in names]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    keys = [f"{name} {number}".encode() for name in names for number in range(50)]
    assert EncodedTexts(tmp_path).get(keys).keys() == set(keys)


@pytest.mark.parametrize("where", ["start", "middle", "whole"])
def test_a_damaged_file_is_no_error(tmp_path: Path, where: str) -> None:
    whole = EncodedTexts(tmp_path)
    contents = {bytes([i]): bytes([i]) * 3000 for i in range(30)}
    whole.put(contents)
    whole.close()
    [file] = tmp_path.glob("*.sqlite")
    content = bytearray(file.read_bytes())
    part = {"start": slice(0, 100), "middle": slice(len(content) // 2, None), "whole": slice(0, None)}[where]
    content[part] = b"\xff" * len(content[part])
    file.write_bytes(content)
    damaged = EncodedTexts(tmp_path)
    found = damaged.get([*contents])
    assert all(found[key] == contents[key] for key in found)
    assert len(found) < len(contents)
    damaged.put(contents)
    assert damaged.get([*contents]) == contents
    damaged.close()


def test_a_place_that_cannot_be_written_is_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    kept = EncodedTexts(tmp_path / "file")
    kept.put({b"key": b"content"})
    assert kept.get([b"key", b"other"]) == {b"key": b"content"}


def test_the_oldest_go_first_when_it_is_full(tmp_path: Path) -> None:
    kept = EncodedTexts(tmp_path, limit=300_000)
    for number in range(1000):
        kept.put({number.to_bytes(4, "big"): bytes(1000)})
    found = sorted(int.from_bytes(key, "big") for key in kept.get([n.to_bytes(4, "big") for n in range(1000)]))
    assert 150 < len(found) < 300
    assert found == list(range(1000 - len(found), 1000))
    kept.close()
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 400_000


def test_texts_that_would_push_each_other_out_are_not_kept(
    bert: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_texts, "_of", lambda folder: EncodedTexts(folder, limit=10_000))
    reader = TextEncoder(bert, frozen_layers=1).eval()
    reader.remember([[5, 6, 7]] * 10 + [[n] * 40 for n in range(5, 50)])
    assert reader.frozen_layers is not None
    assert 0 < len(reader.frozen_layers._known) < 45
