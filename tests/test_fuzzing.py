"""A few inputs of each target of the fuzzer; `python -m bench fuzz` tries many."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import Phase, given, seed, settings

from .support.examples import examples
from .support.subject import Subject
from .support.targets import TARGETS


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    with closing(Subject(tmp_path_factory.mktemp("fuzzed"))) as made:
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_nearly_valid_inputs_are_read_or_refused_whole(subject: Subject, name: str) -> None:
    target = TARGETS[name]
    read = []

    @seed(1)
    @settings(max_examples=examples(100), phases=[Phase.generate, Phase.shrink])
    @given(target.inputs)
    def check(given_input: Any) -> None:
        read.append(target.check(subject, given_input))

    check()
    assert {True, False} == set(read)
