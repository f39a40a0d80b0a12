"""The sandbox: neither Python's insides nor the machine's memory and time are to be had from a template."""

from __future__ import annotations

from typing import Any

import pytest

from llmx.errors import UnreadableRow, UsageError
from llmx.prompts import Prompt, Selection

HUGE = 10**9
ROW = {"text": "Ann", "n": HUGE, "percent": f"%{HUGE}d", "braces": f"{{:{HUGE}}}", "tags": ["a"]}


def rendered(template: str, **data: Any) -> str:
    row = {**ROW, **data}
    prompt = Prompt(system="s", selection=Selection(), columns=list(row), template=template)
    return str(prompt.render(row).messages[-1]["content"])


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}{{ text }}",
        "{{ text['__class__'] }}",
        "{{ text | attr('__class__') }}",
        "{{ '{0.__class__}'.format(text) }}",
        "{{ '{x.__class__}'.format_map({'x': text}) }}",
        "{{ cycler.__init__.__globals__ }}{{ text }}",
        "{{ self._TemplateReference__context }}{{ text }}",
        "{{ row.__class__ }}",
        "{{ row.update({'a': 1}) }}",
        "{{ tags.append(1) }}",
    ],
)
def test_pythons_insides(template: str) -> None:
    """Whatever leads there is an error, of the template or of the row, and shows nothing."""
    with pytest.raises(
        (UnreadableRow, UsageError), match=r"unsafe|immutable|is no column|has no attribute|tuple index"
    ):
        rendered(template)


@pytest.mark.parametrize(
    "template",
    [
        "{{ '-' * n }}",
        "{{ n * tags }}",
        "{{ n ** n }}",
        "{{ n ** (9 ** 9) }}",
        "{{ '-' * 10 ** 9 }}{{ text }}",
        "{{ percent % 1 }}",
        "{{ percent | format(1) }}",
        "{{ '%*d' % (n, 1) }}",
        "{{ '%.*f' | format(n, 1.5) }}",
        "{{ braces.format(1) }}",
        "{{ '{:{}}'.format(1, n) }}",
        "{{ text | center(n) }}",
        "{{ text | indent(n) }}",
        "{{ [text] | map('center', n) | list }}",
        "{{ tags | batch(n, 'x') | list }}",
        "{{ tags | slice(n) | list }}",
        "{{ tags | tojson(indent=n) }}",
        "{{ text.ljust(n) }}",
        "{{ text.zfill(n) }}",
        "{{ range(n) | list }}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}{{ text }}",
    ],
)
def test_a_number_of_a_row_uses_up_nothing(template: str) -> None:
    """What would take gigabytes, or days, fails the row alone, at once."""
    with pytest.raises(UnreadableRow, match=r"^the prompt template failed on this row: "):
        rendered(template)


def test_loops_that_write_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """They end where a row would be too long."""
    monkeypatch.setattr("llmx.templates.LONGEST", 100_000)
    loops = "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}{{ text }}"
    with pytest.raises(UnreadableRow, match=r"it writes more than 100,000 characters$"):
        rendered(loops)


@pytest.mark.parametrize("blocks", [30, 500])
def test_blocks_in_blocks(blocks: int) -> None:
    """More of them than Python takes are an error before the first call."""
    template = "{% for a in text %}" * blocks + "{{ text }}" + "{% endfor %}" * blocks
    with pytest.raises(UsageError, match=r"^--prompt: the template is nested too deeply$"):
        rendered(template)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ '-' * 3 }}{{ 3 * '-' }}{{ text }}", "------Ann"),
        ("{{ n * n }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 7 % 4 }} {{ 1.5 * 2 }}", f"{HUGE**2} 1024 0.5 3 3.0"),
        ("{{ '100%% of %s' % n }}", f"100% of {HUGE}"),
        ("{{ '50%% * %5d' % 7 }}{{ text }}", "50% *     7Ann"),
        ('{{ \'{"a": {"b": %s}}\' % n }}', f'{{"a": {{"b": {HUGE}}}}}'),
        ("{{ '{{}} %*d {:>5}'.format(text) }}", "{} %*d   Ann"),
        ("{{ '{:,}'.format(n) }}", "1,000,000,000"),
        ("{{ text | center(7) }}|{{ text.ljust(5) }}|", "  Ann  |Ann  |"),
        ("{{ '%s has %d' | format(text, n) }}", f"Ann has {HUGE}"),
        ("{{ tags | tojson(indent=1) }}", '[\n "a"\n]'),
        ("{{ tags | batch(2, 'x') | list }}", "[['a', 'x']]"),
        ("{{ n | default(0) }} {{ text.replace('n', 'm') }}", f"{HUGE} Amm"),
    ],
)
def test_what_templates_are_for(template: str, expected: str) -> None:
    """Numbers that are only shown may be as large as they are."""
    assert rendered(template) == expected


@pytest.mark.parametrize("text", ["{{ n }}", "{% raw %}", "{{ ''.__class__ }}", "{# x #}", "%(n)s {n}"])
def test_text_of_a_row_is_no_template(text: str) -> None:
    """It is put in as it is, by name, by row and in a loop."""
    shown = rendered("{{ text }}|{{ row.text }}|{% for t in [text] %}{{ t }}{% endfor %}", text=text)
    assert shown == f"{text}|{text}|{text}"
