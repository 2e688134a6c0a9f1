"""The service: what `mecam predict` answers, over HTTP, on a page, and live."""
