"""The player of a page: the recording itself where browsers play it, else a copy, held by the page or beside it."""

import base64
from pathlib import Path

import pytest

import clips
import voices
from mecam.prediction import preview
from mecam.report.page import render
from mecam.report.player import Player, player


def test_what_browsers_play_is_held_by_the_page(tmp_path: Path) -> None:
    path = voices.write_wav(tmp_path / "a.wav", voices.buzz(0.3))
    made = player(tmp_path / "page.html", path)
    assert (made.tag, made.certain, made.note) == ("audio", False, "")
    assert base64.b64decode(made.source.removeprefix("data:audio/wav;base64,")) == path.read_bytes()
    page = render("player.j2", player=made)
    assert page.startswith('<audio class="player"')
    assert 'id="cannot" hidden' in page, "shown when a browser fails"


def test_what_they_do_not_play_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clips.written_video(tmp_path / "a b.avi", "mpeg4")
    made = player(tmp_path / "page.html", path)
    assert made.source.startswith("data:video/")
    assert "Browsers cannot play the original recording (the format .avi)" in made.note
    assert 'href="a%20b.avi"' in render("player.j2", player=made)
    monkeypatch.setattr("mecam.report.player.MAX_PREVIEW_BYTES", 100)
    assert player(tmp_path / "page.html", path).source == "page.preview.mp4"
    assert (tmp_path / "page.preview.mp4").stat().st_size > 100


def test_a_page_that_is_sent_elsewhere_names_no_place_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clips.written_video(tmp_path / "file.avi", "mpeg4")
    monkeypatch.setattr("mecam.report.player.MAX_PREVIEW_BYTES", 100)
    made = player(tmp_path / "page.html", path, name="my clip.avi")
    assert made.source.startswith("data:video/"), "a copy is held, however large"
    assert made.original == "my%20clip.avi"
    monkeypatch.setattr("mecam.report.player.MAX_EMBEDDED_BYTES", 100)
    large = voices.write_wav(tmp_path / "file.wav", voices.buzz(0.3))
    assert player(tmp_path / "page.html", large, name="talk.wav").source == "talk.wav"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file.avi", "file.wav"]


def test_a_copy_without_pictures_has_stills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clips.written_video(tmp_path / "a.mpg", "mpeg1video", sound="mp2")
    monkeypatch.setattr(preview, "_encoders", lambda: iter([preview._Encoders("wav", "wav", "", preview.PLAIN)]))
    made = player(tmp_path / "page.html", path)
    assert made.tag == "audio"
    assert render("player.j2", player=made).count("<img ") == len(made.stills) > 1


def test_the_choice_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clips.written_video(tmp_path / "a.avi", "mpeg4")
    never = player(tmp_path / "page.html", path, "never")
    assert never.source == "a.avi"
    assert never.warning.startswith("Browsers cannot play the format .avi")
    assert "hidden" not in render("player.j2", player=never)
    fine = clips.written_video(tmp_path / "a.mp4", "libx264")
    assert "A preview was requested" in player(tmp_path / "page.html", fine, "always").note
    monkeypatch.setattr(preview, "_encoders", lambda: iter(()))
    assert "a preview could not be made: no encoder" in player(tmp_path / "page.html", path).warning
    (tmp_path / "b.avi").write_text("no video")
    assert "a preview could not be made" in player(tmp_path / "page.html", tmp_path / "b.avi").warning


def test_texts_and_addresses_are_escaped() -> None:
    page = render("player.j2", player=Player("video", '"><script>', "<b>", note="<i>", original='"<u>'))
    assert not any(sign in page for sign in ("<script>", "<b>", "<i>", "<u>"))
