"""Tokens: secrets of 256 random bits. Only their hashes are stored."""

import hashlib
import secrets


def make_token() -> str:
    """Return a new token in hexadecimal, which programs recognize as one word in any text."""
    return secrets.token_hex(32)


def hash_token(token: str) -> bytes:
    """Return the SHA-256 hash of a token, for storing. A random token cannot be guessed from it."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
