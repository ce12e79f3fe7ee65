"""A double in process, and as a process."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.config import load_settings
from app.double import Double, application, double

from ..conftest import NOW, ROOT
from ..support.refusals import ACTIVE_BODY

NUMBER = ACTIVE_BODY | {"active_users": 5}
DAY = {"user_id": "bob", "timestamp": NOW, "histories": [{"timestamp": NOW, "referer": "/x"}]}
VISIT = {
    "type": "userinfo",
    "timestamp": NOW,
    "user_id": "ann",
    "tenant_id": "acme",
    "env_id": 3,
    "referer": "/home",
}


@pytest.fixture
def app(settings: dict[str, Any]) -> Iterator[Flask]:
    made = application.make_double(load_settings(settings, {}))
    yield made
    application.close(made)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client of the API and the control API, in the namespace `default`."""
    return app.test_client()


@pytest.fixture
def d(settings: dict[str, Any]) -> Iterator[Double]:
    with double(**settings) as made:
        yield made


@dataclass
class Process:
    """A `double` process that is ready, and what it printed."""

    ready: dict[str, Any]
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        return str(self.ready["url"])


@contextmanager
def running(*arguments: str, **environment: str) -> Iterator[Process]:
    """Run `double` of this checkout, and end it afterwards."""
    with subprocess.Popen(
        [sys.executable, "-m", "app", "double", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield Process(json.loads(process.stdout.readline()), process)
        finally:
            process.terminate()
