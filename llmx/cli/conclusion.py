"""What is said when a run has ended: its figures, where its rows are, why it stopped, and how to go on."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llmx.environment import Environment
from llmx.errors import Interrupted, OutputFailed, PipeClosed
from llmx.job import Report
from llmx.planning import Plan
from llmx.report.progress import Terminal
from llmx.report.summary import figures_as_json, figures_as_lines, spent_as_json, spent_as_line
from llmx.text import plural

__all__ = ["conclude"]


def conclude(planned: Plan, report: Report, terminal: Terminal, argv: Sequence[str]) -> None:
    """The summary; quiet when the reader of our rows is gone, for it is mostly a person's `head`."""
    if any(isinstance(reason, PipeClosed) for reason in report.reasons):
        _detach_stdout(planned.env)
    if report.exit_code != PipeClosed.exit_code:  # nothing else has happened
        _tell(planned, report, terminal, argv)
    if planned.settings.summary is not None:
        _write_summary(planned, report)


def _tell(planned: Plan, report: Report, terminal: Terminal, argv: Sequence[str]) -> None:
    figures, manifest = report.figures, report.manifest
    if figures.settled or figures.calls:
        for line in figures_as_lines(figures):
            terminal.say(line)
        if planned.promise is not None:
            terminal.say(f"rows by a cheaper model: {planned.promise}")
    elif not report.reasons:
        terminal.say("0 rows: nothing to do")
    if manifest is not None and manifest.sessions > 1 and manifest.ended is not None:
        terminal.say(f"all {manifest.sessions} sessions: {spent_as_line(manifest)}")
    for line in _places(planned, report):
        terminal.say(line)
    if report.reasons:
        _tell_reasons(report, planned, terminal, argv)
    elif figures.failed and report.exit_code == 0:
        terminal.say(f"warning: {plural(figures.failed, 'row')} failed, within --max-failures")
    elif _is_worth_a_retry(planned, report):
        terminal.say(f"again: {_retry(planned, report)}")


def _is_worth_a_retry(planned: Plan, report: Report) -> bool:
    """Whether asking again about the failed rows alone may help: not about those that could not be read."""
    asked = any(kind != "unreadable_row" for kind in report.figures.errors)
    return report.manifest is not None and asked and not planned.settings.offline


def _retry(planned: Plan, report: Report) -> str:
    """The command for it, as it can be given in the process's own folder."""
    here = planned.env.cwd == Path.cwd()
    name = report.run if here or planned.settings.output == "-" else str(planned.env.cwd / report.run)
    state_dir = planned.settings.state_dir
    kept = state_dir if here or state_dir is None else str(planned.env.cwd / state_dir)
    place = [] if kept is None else ["--state-dir", str(kept)]
    return shlex.join(["llmx", "retry", *place, *(["--"] if name.startswith("-") else []), name])


def _tell_reasons(report: Report, planned: Plan, terminal: Terminal, argv: Sequence[str]) -> None:
    first = report.reasons[0]
    settings = planned.settings
    kept = not (settings.no_store and settings.cache == "off")
    if isinstance(first, Interrupted):
        terminal.say(f"{first}{'; what has been answered is kept' if kept else ''}")
    else:
        terminal.say(f"error: {first}")
        if first.hint:
            terminal.say(f"hint: {first.hint}")
    if report.lost:
        cached = "" if settings.cache == "off" else "; the cache has those that fit the schema"
        terminal.say(f"lost: {plural(report.lost, 'answer')} could not be put into the journal{cached}")
    if report.written < report.figures.ok:
        terminal.say(f"written: {report.written:,} of {report.figures.ok:,} ok")
    if report.rows_left is not None and report.rows_left.exists():
        terminal.say(f"rows so far: {_short(report.rows_left)}")
    if first.exit_code == 2:  # the command itself is wrong
        return
    if settings.no_store:
        terminal.say("the same command starts from the first row, since nothing is kept (--no-store)")
    else:
        terminal.say(f"resume: {shlex.join(['llmx', *_resuming(argv)])}")


def _places(planned: Plan, report: Report) -> Iterator[str]:
    """Where there are rows that somebody should see."""
    if (failed := _failed_rows(report)) is not None:
        yield f"failed rows: {failed}"
    elif report.figures.failed and planned.settings.no_store:
        yield "failed rows are not kept (--no-store); --errors PATH keeps them"
    if report.reviewed is not None:
        place = f", in {planned.settings.review}" if report.reviewed else ""
        yield f"to review: {plural(report.reviewed, 'row')}{place}"


def _resuming(argv: Sequence[str]) -> list[str]:
    """The same command, but for what would start it over."""
    return [word for word in argv if word != "--fresh"]


def _failed_rows(report: Report) -> str | None:
    """The file of failed rows."""
    return None if report.errors_path is None else _short(report.errors_path)


def _short(path: Path) -> str:
    """As it may be given where the command was, which need not be the run's folder."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _write_summary(planned: Plan, report: Report) -> None:
    path = planned.env.cwd / str(planned.settings.summary)
    document = {
        **figures_as_json(report.figures),
        **_promised(planned),
        "exit_code": report.exit_code,
        "stopped": str(report.reasons[0]) if report.reasons else None,
        "schema": planned.schema.name,
        "output": planned.settings.output,
        "written": report.written,
        "errors_file": _failed_rows(report),
        **({} if report.reviewed is None else {"to_review": report.reviewed}),
        "all_sessions": None if report.manifest is None else spent_as_json(report.manifest),
    }
    try:
        # What is no UTF-8 in a name is escaped.
        path.write_text(
            json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8", "backslashreplace"
        )
    except OSError as error:
        raise OutputFailed(
            f"cannot write the summary {planned.settings.summary!r}: {error.strerror}"
        ) from error


def _promised(planned: Plan) -> dict[str, Any]:
    promise = planned.promise
    if promise is None:
        return {}
    return {"promised": {"accuracy": promise.accuracy, "level": promise.level, "gold_rows": promise.rows}}


def _detach_stdout(env: Environment) -> None:
    """Point stdout elsewhere, or the interpreter complains at exit about what it cannot flush."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), env.stdout.fileno())
    except (OSError, ValueError):
        return
