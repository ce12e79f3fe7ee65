"""The web framework, adapted to the contract."""
