"""Recording events and querying what is stored, independently of HTTP."""
