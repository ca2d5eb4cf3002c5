"""How an action's prompt is rendered."""

import pytest

from agents.runtime.prompts import MissingValues, placeholders, render


@pytest.mark.parametrize(
    ("template", "values", "text"),
    [
        ("Say {{ word }}.", {"word": "hello"}, "Say hello."),
        ("{{a}}{{ a }}", {"a": "x"}, "xx"),
        (
            "{{ number }} {{ yes }} {{ none }}",
            {"number": 3, "yes": True, "none": None},
            "3 true null",
        ),
        ("{{ list }}", {"list": ["ü", {"a": 1}]}, '["ü", {"a": 1}]'),
        ("no {{ 1x }} {x} {{}}", {}, "no {{ 1x }} {x} {{}}"),
        ("{{ a }}", {"a": "{{ b }}", "b": "never"}, "{{ b }}"),
    ],
)
def test_placeholders_give_way_to_values(template, values, text):
    assert render(template, values) == text


def test_every_missing_value_is_named_at_once():
    with pytest.raises(MissingValues) as refusal:
        render("{{ a }} {{ b }} {{ c }} {{ b }}", {"a": 1})
    assert refusal.value.names == ("b", "c")


def test_placeholders_are_listed_once_in_order():
    assert placeholders("{{ b }}{{ a }}{{b}}") == ("b", "a")
