"""Building blocks without a task: masks, attention, encoders."""
