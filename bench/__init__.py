"""Benchmarks of saasus-analysis and its peers; see __main__.py."""
