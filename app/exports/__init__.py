"""Exports: everything in a database but the keys, written out and read back."""
