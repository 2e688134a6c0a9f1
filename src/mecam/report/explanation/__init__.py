"""What a prediction rests on: page and tables."""
