"""Which forms a text has."""

from __future__ import annotations

import pytest

from llmx.schemas.inference import forms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("17", forms.INTEGER | forms.FRACTION),
        ("-0", forms.INTEGER | forms.FRACTION),
        ("1.50", forms.FRACTION),
        ("1e5", forms.FRACTION),
        ("007", 0),
        ("+4", 0),
        ("1,234", 0),
        ("4454794511390933", 0),
        ("٣", 0),
        ("2024-02-29", forms.DATE),
        ("2023-02-29", 0),
        ("2024-02-29T23:59:00Z", forms.DATETIME),
        ("2024-02-29T25:00:00Z", 0),
        ("ada@example.org", forms.EMAIL),
        ("1@example.org", forms.EMAIL),
        ("https://example.org/a", forms.URL),
        ("Yes", forms.BOOLEAN),
        ("14.5cm", forms.MEASURE),
        ("$20", forms.MEASURE),
        ("", 0),
        (" 17", 0),
        ("1" * 1_000, 0),
    ],
)
def test_forms(text: str, expected: int) -> None:
    """Numbers, days and moments that exist, addresses; nothing that is only nearly one."""
    assert forms.forms_of(text) == expected
