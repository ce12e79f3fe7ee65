"""The pages of the dashboard, grouped into modules by subject."""
