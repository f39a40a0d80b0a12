"""What stands behind an endpoint's name, in the words of OpenTelemetry's conventions for generative AI.

Their names are written out here, for the package of conventions has let go of them: it says that they have moved to
https://github.com/open-telemetry/semantic-conventions-genai (opentelemetry-semantic-conventions 0.66b2).
"""

from __future__ import annotations

from urllib.parse import urlsplit

from llmx.types import Served

__all__ = ["OPERATION", "described"]

OPERATION = "chat"

_PROVIDERS = {
    "azure_openai": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "generative-ai": "gcp.gemini",
    "google": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertexai": "gcp.vertex_ai",
    "xai": "x_ai",
}
"""What the conventions call a provider (`GenAiProviderNameValues`), where that is not our name."""

_PORTS = {"http": 80, "https": 443}


def described(served: Served) -> dict[str, str | int]:
    """The attributes that all calls to an endpoint share."""
    return {
        "gen_ai.operation.name": OPERATION,
        "gen_ai.provider.name": _PROVIDERS.get(served.provider, served.provider),
        **({"gen_ai.request.model": served.model} if served.model else {}),
        **_server(served.address),
    }


def _server(address: str) -> dict[str, str | int]:
    """Host and port; nothing for a model in this process, whose address is that of its weights."""
    try:
        parts = urlsplit(address)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return {}
    if not parts.hostname or port is None:
        return {}
    return {"server.address": parts.hostname, "server.port": port}
