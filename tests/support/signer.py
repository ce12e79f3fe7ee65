"""A client that signs, written from the description of `SAASUSSIGV1` alone."""

import hashlib
import hmac
from datetime import UTC, datetime


def authorization(
    key: dict[str, str],
    *,
    at: int,
    method: str,
    host: str,
    target: str,
    body: bytes = b"",
) -> str:
    """Return the header's value for a request, with the key's values by their variables' names."""
    minute = datetime.fromtimestamp(at, UTC).strftime("%Y%m%d%H%M")
    start = minute + key["SAASUS_API_KEY"] + method + host + target
    digest = hmac.new(key["SAASUS_SECRET_KEY"].encode(), start.encode() + body, hashlib.sha256)
    return (
        f"SAASUSSIGV1 Sig={digest.hexdigest()}, "
        f"SaaSID={key['SAASUS_SAAS_ID']}, APIKey={key['SAASUS_API_KEY']}"
    )
