"""Sound → features: acoustics, prosody, pretrained encoders."""
