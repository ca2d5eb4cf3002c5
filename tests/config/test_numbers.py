"""Numbers of the environment: there, absent, or refused by name."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from config.numbers import whole


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("12", 12), (" 7 ", 7), ("", 3)])
def test_a_whole_number_is_taken(text: str, number: int) -> None:
    assert whole("SOME_NUMBER", 3, environ={"SOME_NUMBER": text}) == number
    assert whole("SOME_NUMBER", 3, environ={}) == 3


@pytest.mark.parametrize("text", ["-1", "1.5", "many", "1e3", "٣", "1_000", "9" * 10])
def test_another_text_is_refused_by_name(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="SOME_NUMBER is"):
        whole("SOME_NUMBER", 3, environ={"SOME_NUMBER": text})
