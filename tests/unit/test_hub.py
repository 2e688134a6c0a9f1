"""A name on a hub that cannot be reached fails at once, in one line."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mecam import hub
from mecam.data.tokens import PretrainedTokenizer
from mecam.errors import ModelError
from mecam.nn.text import TextEncoder


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A hub at a port where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("no_proxy", "*")
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    hub._hub_answers.cache_clear()
    yield
    hub._hub_answers.cache_clear()


@pytest.mark.usefixtures("unreachable")
@pytest.mark.parametrize("load", [lambda name: PretrainedTokenizer(name, max_tokens=8), TextEncoder])
def test_a_hub_that_is_out_of_reach_is_said_in_one_line(load, capfd: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    with pytest.raises(ModelError, match=r"not on this machine, and the hub .* cannot be reached") as caught:
        load("nobody/no-such-model")
    assert time.monotonic() - began < 5
    assert "\n" not in caught.value.what
    assert capfd.readouterr() == ("", "")


def test_what_lies_in_a_folder_asks_no_hub(monkeypatch: pytest.MonkeyPatch, encoder: str) -> None:
    monkeypatch.setattr(hub, "_hub_answers", lambda: pytest.fail("asked the hub"))
    assert PretrainedTokenizer(encoder, max_tokens=8)(["good"])


@pytest.mark.parametrize("name", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_the_user_may_say_that_there_is_no_network(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("asked the hub"))
    monkeypatch.setenv(name, "1")
    hub._hub_answers.cache_clear()
    assert hub.loading_options("nobody/no-such-model")["local_files_only"]
    hub._hub_answers.cache_clear()


def test_mpnet_is_what_was_fetched(monkeypatch: pytest.MonkeyPatch, encoder: str) -> None:
    monkeypatch.setattr(hub, "find", lambda model: Path(encoder) if model is hub.MPNET else None)
    assert hub.resolve_text_encoder("mpnet") == encoder
    assert TextEncoder("mpnet").width == TextEncoder(encoder).width
    monkeypatch.setattr(hub, "find", lambda _: None)
    with pytest.raises(ModelError, match="mpnet is not on this machine") as caught:
        hub.resolve_text_encoder("mpnet")
    assert "mecam assets fetch mpnet" in str(caught.value.fix)
