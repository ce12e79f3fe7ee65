"""The Python client of the double: the object that tests use, and its transports."""
