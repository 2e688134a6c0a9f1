"""The report of a run: one HTML file that needs nothing but a browser."""

from mecam.evaluation.report.page import write_report

__all__ = ["write_report"]
