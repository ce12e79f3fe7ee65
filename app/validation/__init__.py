"""Checking input (kinds of value, records, strict JSON), and describing its errors."""
