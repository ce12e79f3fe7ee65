"""Benchmarks of saasus-analysis beside its peers; see __main__.py."""
