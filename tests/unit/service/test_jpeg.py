"""Pictures of clients: read as they are, refused before anything large is decoded."""

import numpy as np
import pytest
from numpy.typing import NDArray

from mecam.errors import DataError
from mecam.service.jpeg import decoded, size_of
from mecam.training.costs import peak_memory_mb
from serving import jpeg


def picture(width: int = 320, height: int = 240) -> NDArray[np.uint8]:
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.stack([across, down, np.full_like(across, 90)], axis=2).astype(np.uint8)


def test_a_picture_is_read() -> None:
    image = picture()
    sent = jpeg(image)
    assert size_of(sent) == (320, 240)
    found = decoded(sent)
    assert found.shape == image.shape
    assert np.abs(found.astype(int) - image).mean() < 6


def test_a_large_picture_is_scaled_down() -> None:
    assert decoded(jpeg(picture(1280, 720))).shape == (360, 640, 3)


def test_a_header_that_claims_more_is_believed_and_refused() -> None:
    sent = bytearray(jpeg(picture()))
    at, _ = frame_header(bytes(sent))
    sent[at + 5 : at + 9] = (65_000).to_bytes(2, "big") * 2
    with pytest.raises(DataError, match="65000 × 65000"):
        decoded(bytes(sent))


def frame_header(sent: bytes) -> tuple[int, int]:
    """Where the header with the size begins and ends."""
    at = next(i for i in range(len(sent)) if sent[i : i + 2] in (b"\xff\xc0", b"\xff\xc2"))
    return at, at + 2 + int.from_bytes(sent[at + 2 : at + 4], "big")


def test_a_second_header_that_claims_more_is_refused() -> None:
    sent = jpeg(picture())
    begin, end = frame_header(sent)
    second = bytearray(sent[begin:end])
    second[5:9] = (20_000).to_bytes(2, "big") * 2
    before = peak_memory_mb()
    with pytest.raises(DataError):
        decoded(sent[:end] + bytes(second) + sent[end:])
    assert peak_memory_mb() - before < 200


def test_a_picture_of_endless_passes_is_refused() -> None:
    sent = jpeg(picture())
    with pytest.raises(DataError, match="passes"):
        decoded(sent + bytes((0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0)) * 1000)


@pytest.mark.parametrize(
    "sent",
    [b"", b"\xff\xd8", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n" + bytes(50), b"\xff\xd8\xff\xe0\x00\x00" * 20, bytes(900)],
)
def test_what_is_no_picture_is_refused(sent: bytes) -> None:
    with pytest.raises(DataError):
        decoded(sent)


def test_damaged_pictures_are_refused_or_read_and_nothing_else() -> None:
    drawn, whole = np.random.default_rng(0), jpeg(picture(64, 48))
    for _ in range(300):
        sent = bytearray(whole[: drawn.integers(1, len(whole) + 1)])
        for at in drawn.integers(0, len(sent), drawn.integers(0, 20)):
            sent[at] = drawn.integers(0, 256)
        try:
            found = decoded(bytes(sent))
        except DataError:
            continue
        assert found.ndim == 3
        assert found.size <= 640 * 640 * 3
