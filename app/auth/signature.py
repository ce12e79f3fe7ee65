"""`SAASUSSIGV1`: the signature that the official clients put on each request (contract A).

`Authorization: SAASUSSIGV1 Sig=HEX, SaaSID=…, APIKey=…`, where HEX is the lower-case hex
HMAC-SHA256 of minute, API key, method, host, raw target and raw body.
"""

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

SCHEME = "SAASUSSIGV1"
MINUTE = 60


@dataclass(frozen=True)
class Credentials:
    """The parameters in the Authorization header of a signed request."""

    signature: str
    saas_id: str
    api_key: str

    @classmethod
    def parse(cls, parameters: str) -> Self | None:
        """Return the credentials in the text after the scheme name, or None if it is malformed."""
        parts = [part.strip().partition("=") for part in parameters.split(",")]
        values = {name: value for name, _, value in parts}
        if len(parts) != 3 or values.keys() != {"Sig", "SaaSID", "APIKey"}:
            return None
        return cls(values["Sig"], values["SaaSID"], values["APIKey"])


@dataclass(frozen=True)
class SignedRequest:
    """The parts of a request that a signature covers, each exactly as sent."""

    method: str
    host: str
    target: bytes
    body: bytes


def sign(request: SignedRequest, api_key: str, secret: str, timestamp: int) -> str:
    """Return the signature of a request for the minute that holds a timestamp."""
    minute = datetime.fromtimestamp(timestamp, UTC).strftime("%Y%m%d%H%M")
    text = f"{minute}{api_key}{request.method.upper()}{request.host}"
    mac = hmac.new(secret.encode(), text.encode(), "sha256")
    mac.update(request.target)
    mac.update(request.body)
    return mac.hexdigest()


def verify(request: SignedRequest, given: Credentials, secret: str, now: int) -> bool:
    """Return whether a signature is right for this minute, the one before or the one after.

    Takes the same time whichever minute matches, or if none does.
    """
    signature = given.signature.encode("utf-8", "replace")
    matches = [
        hmac.compare_digest(sign(request, given.api_key, secret, minute).encode(), signature)
        for minute in (now - MINUTE, now, now + MINUTE)
    ]
    return any(matches)
