"""Page summaries: spans of hours, from which page statistics are answered."""
