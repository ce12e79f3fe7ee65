"""Who may do what: keys with scopes, Bearer tokens and `SAASUSSIGV1` signatures."""

from .guard import init_app, public

__all__ = ["init_app", "public"]
