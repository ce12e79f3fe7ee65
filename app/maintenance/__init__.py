"""How long data are kept: pruning what is old, and erasing a user or a tenant."""
