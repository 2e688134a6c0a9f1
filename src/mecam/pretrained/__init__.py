"""The built-in model: weights of its parts, and a card for each that says what it learned from and how good it is."""
