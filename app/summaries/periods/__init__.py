"""Period summaries: days and months, from which the dashboard's numbers are answered."""
