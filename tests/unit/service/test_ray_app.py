"""Options of the service as Ray Serve hands them over."""

import pytest

import light
from mecam.errors import ConfigError
from mecam.service.ray_app import settings_of
from mecam.service.settings import Settings


def test_options_may_be_texts() -> None:
    given = {"readers": "2", "max_minutes": "5.5", "allow_hosts": "a.example,b.example", "token": "secret"}
    expected = Settings(readers=2, max_minutes=5.5, allow_hosts=("a.example", "b.example"), token="secret")
    assert settings_of(given) == expected
    assert settings_of({**given, "readers": 2, "allow_hosts": ["a.example", "b.example"]}) == expected
    assert settings_of({}) == Settings()


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"reader": 2}, "no option 'reader'"),
        ({"readers": "many"}, "readers cannot be 'many'"),
        ({"max_texts": 0}, "max_texts must be at least 1"),
    ],
)
def test_options_that_cannot_be_are_named(given: dict[str, object], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        settings_of(given)


def test_without_ray_the_extra_is_named() -> None:
    said = light.run_light("""
        HIDDEN = ("ray",)
        from mecam.errors import MissingExtraError
        from mecam.service.ray_app import build
        try:
            build({})
        except MissingExtraError as error:
            print(error)
        """)
    assert said.strip() == 'this needs Ray, which is not installed (pip install "mecam[ray]")'
