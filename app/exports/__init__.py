"""Exports: writing everything in a database except its keys, and importing it again."""
