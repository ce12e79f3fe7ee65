"""The double from Python: the object that tests hold, and how it reaches a double."""
