"""Page summaries: summaries of spans of hours, for page statistics."""
