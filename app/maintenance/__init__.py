"""Maintenance of a database: backup, checks, diagnosis, pruning, deletion and erasure."""
