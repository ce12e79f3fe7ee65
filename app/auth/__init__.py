"""Authentication and authorization: keys with scopes, Bearer tokens, `SAASUSSIGV1` signatures."""

from .guard import Guard, init_app, is_well_formed, page, public, require_key, require_loopback

__all__ = [
    "Guard",
    "init_app",
    "is_well_formed",
    "page",
    "public",
    "require_key",
    "require_loopback",
]
