"""Tokens: secrets of 256 random bits, of which only a hash is stored."""

import hashlib
import secrets


def make_token() -> str:
    """Return a new token, in hexadecimal: wherever it is written, a program takes it as a whole."""
    return secrets.token_hex(32)


def hash_token(token: str) -> bytes:
    """Return what is stored of a token: its SHA-256 hash. Nobody can guess what it is of."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
