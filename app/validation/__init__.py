"""Kinds of value, records and strict JSON: how input is checked, and what is said of it."""
