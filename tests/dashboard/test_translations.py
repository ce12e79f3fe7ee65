"""The catalog of the dashboard's texts is whole, and compiled."""

import re

import pytest
from babel.messages.mofile import read_mo

from ..support.catalog import FOLDER, stored, texts

HINT = "run `python -m tests.support.catalog`, and translate what it names"


@pytest.mark.slow
def test_every_text_is_translated_and_none_is_left_over() -> None:
    translated = {message.id: message.string for message in stored() if message.id}
    assert translated.keys() == {message.id for message in texts() if message.id}, HINT
    assert [text for text, translation in translated.items() if not translation] == [], HINT


def test_a_translation_has_the_places_of_its_text() -> None:
    for message in stored():
        text, translation = (
            sorted(re.findall(r"%\(\w+\)s", str(each))) for each in (message.id, message.string)
        )
        assert text == translation, message.id


def test_what_is_read_at_run_time_is_what_is_stored() -> None:
    with (FOLDER / "messages.mo").open("rb") as file:
        compiled = {message.id: message.string for message in read_mo(file) if message.id}
    assert compiled == {message.id: message.string for message in stored() if message.id}, HINT
