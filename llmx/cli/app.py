"""The command line's frame: commands, one way to say an error, one exit code.

Importing this module imports typer and nothing heavier. Of the commands, the one that runs is imported, and it imports
what it needs when it runs.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any, TextIO, cast

import typer
from msgspec.structs import replace

from llmx._version import __version__
from llmx.cli.forgiving import ForgivingStream
from llmx.environment import Environment
from llmx.errors import LlmxError, OutputFailed, UsageError
from llmx.text import harmless, nearest

__all__ = ["build_app", "main"]


COMMANDS = (
    "extract",
    "estimate",
    "retry",
    "eval",
    "calibrate",
    "report",
    "view",
    "serve",
    "worker",
    "budget",
    "models",
    "doctor",
    "init",
    "mock",
)
GROUPS = ("schema", "runs", "cache", "keys")
"""Each a function, or a typer, of that name in a module of that name."""

OPERATORS = ("serve", "worker")
"""Commands that ask for others, whose config file is the operator's."""

BESIDE = dict.fromkeys(("estimate", "retry", "report", "runs", "view", *OPERATORS), ("extract",))
"""Commands whose options come from the config file need those of `extract`, which the file may name."""


def build_app(name: str | None = None) -> typer.Typer:
    """The app with all its commands, or with what it takes to run one.

    Args:
        name: of that command; where it is none, all are there, to be shown or to find the nearest.
    """
    known = name in (*COMMANDS, *GROUPS)
    wanted = (name, *BESIDE.get(str(name), ())) if known else (*COMMANDS, *GROUPS)
    app = typer.Typer(
        name="llmx",
        help="Turn rows into validated, typed rows with a language model.",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for command in (one for one in COMMANDS if one in wanted):
        app.command()(_imported(command))
    for group in (one for one in GROUPS if one in wanted):
        app.add_typer(_imported(group))
    return app


def _imported(name: str) -> Any:
    return getattr(import_module(f"llmx.cli.{name}"), name)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"llmx {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Turn rows into validated, typed rows with a language model."""


def main(argv: Sequence[str], env: Environment | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments after the program's name.
        env: streams and variables, the process's own by default.

    Returns:
        The exit code: 0, or see docs/errors.md. Never raises but for our own bugs.
    """
    env = env or Environment()
    env = replace(env, stderr=cast(TextIO, ForgivingStream(env.stderr)))
    sys.stdout = sys.stdout or cast(TextIO, _NoStdout())
    try:
        command = typer.main.get_command(build_app(argv[0] if argv else None))
        extra: dict[str, Any] = (
            {"default_map": _defaults(command, env)} if argv[:1] and argv[0] in CONFIGURED else {}
        )
        code = command.main(args=list(argv), prog_name="llmx", standalone_mode=False, obj=env, **extra)
        return code if isinstance(code, int) else 0
    except LlmxError as error:
        return _say(env, str(error), error.hint, error.exit_code)
    except typer.TyperException as error:
        return _say_usage(env, error, argv)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except (BrokenPipeError, SystemExit) as error:
        if not isinstance(error.__context__ or error, BrokenPipeError):  # typer makes an exit of it
            raise
        _silence_stdout()
        return 141
    except OSError as error:
        reason = error.strerror or error
        if error.filename is not None:
            return _say(
                env, f"cannot use {str(error.filename)[:100]!r}: {reason}", "", OutputFailed.exit_code
            )
        _silence_stdout()  # of what a command prints: a full disk behind standard output
        return _say(env, f"cannot write 'stdout': {reason}", "", OutputFailed.exit_code)


class _NoStdout(io.StringIO):
    """In place of a closed standard output, into which Python would write without a word."""

    def write(self, text: str) -> int:
        raise OutputFailed("cannot write 'stdout': it is closed")


CONFIGURED = frozenset({"extract", *BESIDE})
"""Commands that read the config files."""


def _defaults(command: Any, env: Environment) -> dict[str, Any]:
    """What the config files say, as click wants it: by command."""
    config = _config(command, env)
    place = {name: value for name, value in config.items() if name == "state_dir"}
    runs = getattr(command.commands.get("runs"), "commands", {})
    others = {**dict.fromkeys(BESIDE, place), "runs": dict.fromkeys(runs, place)}
    return {**others, **dict.fromkeys(("extract", "estimate", *OPERATORS), config)}


def _config(command: Any, env: Environment) -> dict[str, Any]:
    from llmx.config import load_config

    options = {param.name.rstrip("_").replace("_", "-") for param in command.commands["extract"].params}
    config = load_config(env, options - {"inputs", "help"})
    models = config.pop("model", None)
    for name, value in config.items():
        if isinstance(value, list) and name not in ("keep", "input"):
            raise UsageError(f"{name.replace('_', '-')} in the config file takes one value, not a list")
    texts = {name: _as_names(value) if isinstance(value, list) else value for name, value in config.items()}
    several = [] if models is None else models if isinstance(models, list) else [models]
    return {**texts, **({"model": [str(model) for model in several]} if several else {})}


def _as_names(names: list[Any]) -> str:
    """A list as an option's text has it: a name that holds a comma or a blank is quoted."""
    line = io.StringIO()
    csv.writer(line, quoting=csv.QUOTE_ALL, lineterminator="").writerow(names)
    return line.getvalue()


def _say(env: Environment, message: str, hint: str, code: int) -> int:
    for text in (f"error: {message}", f"hint: {hint}" if hint else ""):
        if text:
            print(harmless(text) if env.stderr.isatty() else text, file=env.stderr)
    return code


def _say_usage(env: Environment, error: typer.TyperException, argv: Sequence[str]) -> int:
    """typer's own errors in our words; its "no arguments" error is the help text itself."""
    message = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":
        print(message, file=env.stderr)
        return error.exit_code
    context = getattr(error, "ctx", None)
    message, _, meant = message.partition(" Did you mean ")
    message = message.split(" (Possible options")[0].replace(": Value error, ", ": ").rstrip(".")
    # The error of an option without its value has no context.
    path = context.command_path if context is not None else f"llmx {argv[0]}"
    hint = f"did you mean {meant}" if meant else _nearest_option(error, context) or f"{path} --help"
    return _say(env, message[0].lower() + message[1:], hint, error.exit_code)


def _nearest_option(error: typer.TyperException, context: Any) -> str | None:
    wrong = getattr(error, "option_name", None)
    if wrong is None or context is None:
        return None
    known = [name for param in context.command.params for name in param.opts]
    close = nearest(str(wrong), known)
    return f"did you mean {close}?" if close and wrong not in known else None


def _silence_stdout() -> None:
    """Keep the interpreter from complaining, at exit, about what could not be flushed."""
    try:
        sys.stdout.close()
    except OSError:
        return
