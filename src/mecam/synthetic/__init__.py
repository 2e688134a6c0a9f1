"""The built-in synthetic corpus: known sentiment in text, voice and face, and negative information at known places."""

from mecam.synthetic.corpus import synthesise

__all__ = ["synthesise"]
