"""The store of a data set: memory-mapped rows, JSON lines and a manifest in one folder."""

from mecam.data.store.store import Store, StoreWriter, check_modality_name

__all__ = ["Store", "StoreWriter", "check_modality_name"]
