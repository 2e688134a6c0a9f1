"""Stores, importers, corruption and batches: everything between a file on disk and a tensor."""
