"""Small things that behave like the real ones: those that a model's contract is tried on, for all tests."""

from mecam.testing.small import *  # noqa: F403
