"""The built-in synthetic corpus: known sentiment in text, voice and face, and negative information at known places."""

from mecam.data.synth.corpus import synthesise

__all__ = ["synthesise"]
