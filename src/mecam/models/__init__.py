"""One method, one file; the registry names them."""
