"""Blocks of time, by which histories are clustered."""

BLOCK = 14400
"""The seconds of a block of histories, by which they are clustered (schema.sql)."""
