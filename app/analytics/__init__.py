"""What can be recorded, and what can be asked; it knows nothing of HTTP."""
