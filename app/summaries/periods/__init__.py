"""Period summaries: summaries of days and months, for the numbers of the dashboard."""
