"""Several runs beside each other: page, tables, files."""
