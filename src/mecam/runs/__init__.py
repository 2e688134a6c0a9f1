"""The run folder: configuration, environment, predictions, metrics. Nothing else reads or writes its files."""
