"""The web framework, fitted to the contract."""
