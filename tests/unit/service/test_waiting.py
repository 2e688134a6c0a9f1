"""What waits for somebody slower: the newest picture, all sound of five seconds, and nothing that grows."""

from mecam.service.waiting import SOUND_S, TEXTS, Waiting

RATE = 16_000
TENTH = bytes(RATE // 10 * 2)


def test_the_newest_picture_replaces_older_ones() -> None:
    waiting = Waiting(RATE)
    for number in range(5):
        waiting.put(("picture", float(number), b"jpeg", 0.0))
    assert waiting.take() == ("picture", 4.0, b"jpeg", 0.0)
    assert waiting.pictures == 4
    assert waiting.take() is None
    assert not waiting


def test_sound_is_kept_in_order_and_only_what_is_far_behind_is_dropped() -> None:
    waiting = Waiting(RATE)
    for number in range(50):
        waiting.put(("sound", number / 10, TENTH, 0.0))
    assert waiting.sound_s == 0
    for number in range(50, 70):
        waiting.put(("sound", number / 10, TENTH, 0.0))
    assert round(waiting.sound_s, 6) == 2.0
    times = []
    while waiting:
        times.append(waiting.take()[1])
    assert times == [number / 10 for number in range(20, 70)]
    assert len(times) / 10 == SOUND_S


def test_sound_and_words_come_before_pictures_and_the_end_comes_last() -> None:
    waiting = Waiting(RATE)
    waiting.put(("end",))
    waiting.put(("picture", 0.0, b"", 0.0))
    waiting.put(("text", {"id": "1"}))
    waiting.put(("sound", 0.0, TENTH, 0.0))
    assert [waiting.take()[0] for _ in range(5)] == ["sound", "text", "picture", "end", "end"]


def test_texts_are_bounded() -> None:
    waiting = Waiting(RATE)
    for number in range(TEXTS + 7):
        waiting.put(("text", {"id": str(number)}))
    assert waiting.texts == 7
    assert waiting.take() == ("text", {"id": "7"})
