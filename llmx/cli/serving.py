"""What `llmx serve` does once its options are known: checks, logs, and the server's life."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from llmx.environment import Environment
from llmx.errors import UsageError

__all__ = ["run_service"]

NEEDED = ("fastapi", "uvicorn", "python_multipart", "limits", "prometheus_client")


def run_service(own: Mapping[str, Any], options: Mapping[str, Any], env: Environment) -> int:
    """Serve until told to end; returns the exit code.

    Args:
        own: options of the service, by name.
        options: those of runs.

    Raises:
        UsageError: an option is wrong, or the extra is missing.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise UsageError(f"the service needs {missing[0]}", hint="install the extra: llmx-extract[serve]")

    from llmx.cluster.address import check_listed
    from llmx.serve.settings import serve_settings

    check_listed(own.get("queue"))

    return asyncio.run(_serve(serve_settings(own, env), options, env))


async def _serve(settings: Any, options: Mapping[str, Any], env: Environment) -> int:
    from llmx.serve.opening import opened
    from llmx.serve.server import bound, served
    from llmx.telemetry.logs import configure_logs

    def say(text: str) -> None:
        print(text, file=env.stderr, flush=True)

    configure_logs(env.stderr, settings.log_level, settings.log_format)
    async with opened(settings, options, env) as house:
        with bound(settings.host, settings.port) as listener:
            await served(house, listener, say)
    return 0
