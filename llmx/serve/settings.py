"""What a service was asked to be: the table `[serve]`, its variables and its options, checked.

How rows are asked (models, limits, retries) is no business of it: that is what the options of a run say, which an operator
gives beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from llmx.config import load_service
from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.providers import secret
from llmx.settings import parse_duration, parse_names, parse_size
from llmx.text import nearest

__all__ = ["PREFIX", "ServeSettings", "serve_settings", "variable_of"]

PREFIX = "LLMX_SERVE_"
"""`max-body` of the table has the variable LLMX_SERVE_MAX_BODY."""

_ALIASES = {"queue": "LLMX_QUEUE"}
"""Variables that workers read, too, or the files that they name with _FILE: an address may hold a password."""

Name = Annotated[str, Field(min_length=1)]
Seconds = Annotated[float, BeforeValidator(parse_duration), Field(gt=0, le=10**9)]
Bytes = Annotated[int, BeforeValidator(parse_size), Field(ge=1, le=2**50)]


def _names(value: object) -> object:
    """Names apart by commas, as a variable has them; none in an empty one."""
    if not isinstance(value, str):
        return value
    return parse_names(value) if value.strip() else []


class ServeSettings(BaseModel):
    """The service's settings; keys of the table have dashes.

    Args:
        host, port: where it listens; port 0 takes a free one.
        data: the folder of jobs, uploads and keys.
        queue: "sqlite", or the address of a Redis; a secret where it holds a password.
        keys: the file of API keys; `keys.json` in `data` when None.
        shards: shards that this process runs at once; 0 leaves them to workers.
        shard_rows: rows of a shard.
        max_body: bytes of a JSON body.
        max_upload: bytes of an upload, as they are sent.
        max_rows: rows of a job.
        extract_rows: rows of one `POST /v1/extract`.
        extract_timeout: seconds until it has ended.
        body_timeout: seconds for which a client may send nothing of a body that it owes.
        grace: seconds that work in flight has after the first signal.
        webhook_hosts: hosts that may be told of the end of a job; "*.example.com" is all below it.
        webhook_secret_name: the variable, or the entry of the key file, that holds the secret of signatures.
        webhook_private: hosts of the list may have private addresses, and be spoken to without TLS.
        log_level, log_format: of standard error.
        keep: seconds after which a job that has ended is forgotten.
        schemas: specs by the name under which they are offered.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        alias_generator=lambda name: name.replace("_", "-"),
        populate_by_name=True,
    )

    host: Name = "127.0.0.1"
    port: int = Field(default=8090, ge=0, le=65_535)
    data: Path = Path("llmx-data")
    queue: Name = Field(default="sqlite", repr=False)
    keys: Path | None = None
    shards: int = Field(default=2, ge=0, le=64)
    shard_rows: int = Field(default=10_000, ge=1, le=50_000)
    max_body: Bytes = 10**6
    max_upload: Bytes = 10**9
    max_rows: int = Field(default=10**6, ge=1, le=10**9)
    extract_rows: int = Field(default=20, ge=1, le=1_000)
    extract_timeout: Seconds = 120.0
    body_timeout: Seconds = 30.0
    grace: Seconds = 30.0
    webhook_hosts: Annotated[list[Name], BeforeValidator(_names)] = []
    webhook_secret_name: Name = "LLMX_WEBHOOK_SECRET"  # noqa: S105  a name, no secret
    webhook_private: bool = False
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
    keep: Seconds = 30 * 86400.0
    schemas: dict[Name, Name] = {}

    @field_validator("queue")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value != "sqlite" and urlsplit(value).scheme not in ("redis", "rediss", "unix"):
            raise ValueError(
                "the queue is sqlite, or redis://HOST:PORT/0"
            )  # not repeated: it may hold a password
        return value

    @field_validator("schemas")
    @classmethod
    def _have_plain_names(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if not name.replace("-", "_").isidentifier():
                raise ValueError(f"{name!r} is no name of a schema: letters, digits, - and _")
        return value

    @property
    def key_file(self) -> Path:
        """Where the API keys are."""
        return self.keys if self.keys is not None else self.data / "keys.json"


def variable_of(field: str) -> str:
    """The variable of a field of the settings."""
    return PREFIX + field.upper()


def serve_settings(given: Mapping[str, Any], env: Environment) -> ServeSettings:
    """The settings: options win over variables, these over the config files.

    Args:
        given: options by field, None for what was not given.

    Raises:
        UsageError: one is unknown or wrong; names where it was said.
    """
    values: dict[str, Any] = {key.replace("-", "_"): value for key, value in load_service(env).items()}
    said = dict.fromkeys(values, "the config file")
    for name, value in _variables(env).items():
        values[name], said[name] = value, variable_of(name)
    for name, value in given.items():
        if value is not None:
            values[name], said[name] = value, f"--{name.replace('_', '-')}"
    try:
        settings = ServeSettings(**values)
    except ValidationError as error:
        raise _usage_error(error, said) from None
    return settings.model_copy(
        update={
            name: env.cwd / path.expanduser()
            for name in ("data", "keys")
            if (path := getattr(settings, name))
        }
    )


def _variables(env: Environment) -> dict[str, str]:
    """What variables say, by field. Raises UsageError for one that is no setting's."""
    known = {variable_of(name): name for name in ServeSettings.model_fields if name != "schemas"}
    found = {}
    for variable, value in env.variables.items():
        if variable.startswith(PREFIX) and not variable.endswith("_FILE"):
            if variable not in known:
                close = nearest(variable, known)
                raise UsageError(
                    f"{variable} is no setting of the service", hint=f"did you mean {close}?" if close else ""
                )
            found[known[variable]] = value
    for name, alias in _ALIASES.items():
        if name not in found and (value := secret(alias, env.variables)):
            found[name] = value
    return found


def _usage_error(error: ValidationError, said: Mapping[str, str]) -> UsageError:
    first = error.errors(include_url=False, include_input=False)[0]
    name = str(first["loc"][0]).replace("-", "_")
    key = name.replace("_", "-")
    where = f"[serve] {key}" + (f" ({said[name]})" if name in said else "")
    if first["type"] == "extra_forbidden":
        close = nearest(name, ServeSettings.model_fields)
        hint = f"did you mean {close.replace('_', '-')!r}?" if close else "docs/serve.md lists the keys"
        return UsageError(f"[serve]: unknown key {key!r}", hint=hint)
    problem = first["msg"].removeprefix("Value error, ")
    return UsageError(f"{where}: {problem[:1].lower()}{problem[1:]}")
