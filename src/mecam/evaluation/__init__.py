"""Metrics, statistics, evaluation and the report."""
