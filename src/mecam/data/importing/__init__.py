"""Foreign data sets → a store: which files these are, what they hold, how their utterances belong together."""
