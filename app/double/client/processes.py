"""The process of a double: this one, or another one that a URL names."""

import http.client
import json
import re
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from threading import Lock, Thread
from typing import Any, Self
from urllib.parse import urlsplit

from ...config import load_settings
from .. import application
from ..middleware import CONTROL
from ..schemas import NAME
from .wsgi_call import Answer, WSGIApplication, call

DRAIN_SECONDS = 1
"""How long a double in this process waits at its end for requests in progress."""


class DoubleError(Exception):
    """The double refused a request; the message says why."""


class Process(ABC):
    """The process of a double."""

    @property
    @abstractmethod
    def is_strict(self) -> bool:
        """Whether the double checks keys."""

    @property
    @abstractmethod
    def url(self) -> str:
        """The base URL of the process."""

    @property
    @abstractmethod
    def app(self) -> WSGIApplication:
        """The WSGI application."""

    @abstractmethod
    def send(self, method: str, target: str, body: bytes = b"") -> Answer:
        """Send a request to the control API."""


class Local(Process):
    """A double in this process. It starts to listen when its URL is first read."""

    def __init__(self, seed: Any, settings: dict[str, object]) -> None:
        given = {"port": 0, "drain_seconds": DRAIN_SECONDS} | settings
        if isinstance(seed, Path):
            given["double_seed"], seed = str(seed), None
        values = load_settings(given, {})
        self._is_strict = values.double_auth == "strict"
        self._app = application.make_double(values, seed)
        self._listening = Lock()
        self._is_over = False
        self._thread: Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._listening:
            self._is_over = True
            if self._thread:
                self._server.stop()
                self._thread.join()
        application.close(self._app)

    @property
    def url(self) -> str:
        with self._listening:
            if self._is_over:
                raise DoubleError("this double is closed: its `with` block has ended")
            if not self._thread:
                self._server = application.serve(self._app)
                self._thread = Thread(target=self._server.run, name="double", daemon=True)
                self._thread.start()
        return self._server.url

    @property
    def is_strict(self) -> bool:
        return self._is_strict

    @property
    def app(self) -> WSGIApplication:
        return self._app

    def send(self, method: str, target: str, body: bytes = b"") -> Answer:
        return call(self._app, method, target, _HEADERS, body)


class Remote(Process):
    """A double in another process."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.netloc or not (namespace_in(url) or _is_root(url)):
            raise DoubleError(f"at: must be the http URL of a double, not {url}")
        self._netloc = parts.netloc
        self._url = f"http://{parts.netloc}"

    @property
    def url(self) -> str:
        return self._url

    @cached_property
    def is_strict(self) -> bool:
        health = json.loads(self.send("GET", f"{CONTROL}/health").body)
        return bool(health["auth"] == "strict")

    @property
    def app(self) -> WSGIApplication:
        raise DoubleError("a double in another process can only be reached by its url")

    def send(self, method: str, target: str, body: bytes = b"") -> Answer:
        connection = http.client.HTTPConnection(self._netloc, timeout=60)
        try:
            connection.request(method, target, body, dict(_HEADERS))
            told = connection.getresponse()
            return Answer(told.status, told.reason, told.getheaders(), told.read())
        except (OSError, http.client.HTTPException) as error:
            raise DoubleError(f"no double responds at {self._url}: {error}") from None
        finally:
            connection.close()


_HEADERS = (("Content-Type", "application/json"),)


def namespace_in(url: str) -> str | None:
    """Return the namespace in a URL such as http://127.0.0.1:8000/ns/NAME, or None."""
    found = re.fullmatch(rf"/ns/({NAME})/?", urlsplit(url).path)
    return found[1] if found else None


def _is_root(url: str) -> bool:
    return urlsplit(url).path in ("", "/")
