"""Pages, tables and charts: the only place that knows HTML, LaTeX, terminals and charting."""
