"""What a model says about a recording: page, player, tables."""
