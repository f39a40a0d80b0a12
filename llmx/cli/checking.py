"""What `llmx schema check` and `llmx schema rules` print, and when they fail."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import typer
from msgspec import Struct, to_builtins

from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.text import harmless, plural

if TYPE_CHECKING:
    from llmx.schemas import Dialect, Finding, Schema
    from llmx.schemas.advice import Advice

__all__ = ["Checked", "check_all", "rules_as_json", "rules_as_text"]


class Checked(Struct, frozen=True):
    """One schema, what the rules found in it, and what each dialect makes of it."""

    schema: Schema
    advice: tuple[Advice, ...]
    findings: dict[Dialect, tuple[Finding, ...]]

    @property
    def refused(self) -> bool:
        """Whether no dialect can take it."""
        return all(_verdict(dialect, found) == "refused" for dialect, found in self.findings.items())

    @property
    def warnings(self) -> int:
        """How many `--strict` fails for."""
        return sum(one.severity == "warning" for one in self.advice)


def check_all(
    env: Environment,
    specs: Sequence[str],
    dialects: Sequence[Dialect],
    providers: Sequence[str],
    *,
    strict: bool,
    ignore: Sequence[str],
    as_json: bool,
) -> None:
    """Check every schema and print what was found.

    Args:
        providers: what the dialects belong to.

    Raises:
        UsageError: at the end, where one could not be read, is refused by all, or with `strict` has a warning.
    """
    from llmx.schemas.advice import codes_of

    codes = codes_of(ignore)
    checked: list[Checked] = []
    broken: list[UsageError] = []
    several = len(specs) > 1
    for spec in specs:
        try:
            checked += _checked(env, spec, dialects, codes)
        except UsageError as error:
            if not several:
                raise
            broken.append(error)
    if as_json:
        typer.echo(json.dumps({"schemas": [_document(one) for one in checked]}, ensure_ascii=False, indent=2))
    else:
        for line in (line for one in checked for line in _lines(one, named=len(checked) > 1)):
            typer.echo(harmless(line) if env.stdout.isatty() else line)
    for each in broken:
        typer.echo(harmless(f"error: {each}"), err=True)
    _judge(checked, broken, providers, strict=strict)


def _checked(
    env: Environment, spec: str, dialects: Sequence[Dialect], codes: frozenset[str]
) -> Iterator[Checked]:
    from llmx.schemas import load_schemas, wire_schema
    from llmx.schemas.advice import advise

    found = load_schemas(spec, cwd=env.cwd)
    if not found:
        typer.echo(f"{harmless(spec)}: no Pydantic model with fields", err=True)
    for schema in found:
        findings = {dialect: wire_schema(schema, dialect).findings for dialect in dialects}
        yield Checked(schema, advise(schema, ignore=codes), findings)


def _judge(
    checked: Sequence[Checked], broken: Sequence[UsageError], providers: Sequence[str], *, strict: bool
) -> None:
    if broken:
        count = plural(len(broken), "schema") if len(broken) == 1 else f"{len(broken)} schemas"
        raise UsageError(f"{count} could not be read", hint="mend what is named above")
    if refused := [one.schema.source for one in checked if one.refused]:
        which = "the schema is" if len(checked) == 1 else f"{', '.join(refused)}: the schema is"
        raise UsageError(
            f"{which} refused by {', '.join(providers)}", hint="mend what `llmx schema check` calls refused"
        )
    if strict and (count_of := sum(one.warnings for one in checked)):
        raise UsageError(
            f"{plural(count_of, 'warning')}, and --strict is on",
            hint="mend what is named, or switch a rule off: --ignore R02, or the comment `# llmx: ignore[R02]`",
        )


def _lines(one: Checked, *, named: bool) -> Iterator[str]:
    """A schema's heading, its advice, each dialect's verdict; rewritten places are only counted."""
    yield f"{one.schema.source if named else one.schema.name}: {', '.join(one.schema.fields)}"
    for advice in one.advice:
        where = advice.path or "the whole"
        yield f"  {advice.severity:<7} {advice.code}  {where}: {advice.message} ({advice.fix})"
    for dialect, findings in one.findings.items():
        yield f"{dialect}: {_verdict(dialect, findings)}"
        for finding in findings:
            if finding.level != "rewritten":
                hint = f" ({finding.hint})" if finding.hint else ""
                yield f"  {finding.level}  {finding.path or 'the whole'}: {finding.message}{hint}"


def _verdict(dialect: str, findings: tuple[Finding, ...]) -> str:
    levels = [finding.level for finding in findings]
    if "refused" in levels:
        return "refused"
    told = ["told, not enforced"] if dialect.endswith("-tools") else []
    counted = [f"{levels.count(level)} {level}" for level in ("weakened", "rewritten") if level in levels]
    return ", ".join(["ok", *told, *counted])


def _document(one: Checked) -> dict[str, Any]:
    return {
        "source": one.schema.source,
        "name": one.schema.name,
        "fields": one.schema.fields,
        "advice": [to_builtins(advice) for advice in one.advice],
        "dialects": {
            dialect: {
                "verdict": _verdict(dialect, findings),
                "findings": [
                    {"level": each.level, "path": each.path, "message": each.message, "hint": each.hint}
                    for each in findings
                ],
            }
            for dialect, findings in one.findings.items()
        },
    }


def rules_as_text() -> str:
    """Each rule in a paragraph."""
    from llmx.schemas.advice import RULES

    paragraphs = []
    for rule in RULES:
        lines = [f"{rule.code} {rule.name} ({rule.severity}): {rule.summary}", f"    fix: {rule.fix}"]
        lines.append(f"    why: {rule.why} (evidence: {rule.strength})")
        lines += [f"    {one.title}, {one.year}, {one.url}" for one in rule.evidence]
        paragraphs.append("\n".join(lines))
    return "\n\n".join(paragraphs)


def rules_as_json() -> str:
    """The same as data."""
    from llmx.schemas.advice import RULES

    return json.dumps([to_builtins(rule) for rule in RULES], ensure_ascii=False, indent=2)
