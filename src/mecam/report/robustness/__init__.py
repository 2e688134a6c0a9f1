"""Robustness as page, figures, tables."""
