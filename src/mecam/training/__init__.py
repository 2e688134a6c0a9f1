"""The one training loop and the run around it."""
