"""Artifacts: exact object versions in stores, and their verified bytes in a local cache."""
