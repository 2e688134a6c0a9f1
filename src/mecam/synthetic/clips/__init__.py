"""Rendered clips of a talking face whose words, voice and face carry a known sentiment."""
