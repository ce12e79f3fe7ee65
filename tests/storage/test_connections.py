"""Connections to SQLite: the folder for large sorts."""

from contextlib import closing
from pathlib import Path

import pytest

from app.storage import connections


def test_any_name_of_a_folder_is_only_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def has_none() -> str:
        raise FileNotFoundError

    folder = tmp_path / """it's "one"'; drop table user; --"""
    folder.mkdir()
    monkeypatch.setattr(connections, "gettempdir", has_none)
    with closing(connections.open_in_memory()) as connection:
        try:
            connections.make_room_to_sort(connection, folder)
            told = connection.execute("pragma temp_store_directory").fetchone()
        finally:
            connection.execute("pragma temp_store_directory = ''")
    assert told == (str(folder),)
