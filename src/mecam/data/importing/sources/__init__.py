"""One file per layout in circulation; `sniff.open_source` tells which one a file has, by its content."""
