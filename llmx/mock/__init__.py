"""A simulated provider on loopback, for rehearsals, tests and benchmarks.

It speaks the OpenAI and the Anthropic wire formats, answers with objects valid for the schema it is
sent, and misbehaves on request. It is no model: its answers mean nothing.
"""

from llmx.mock.gold_settings import GoldSettings
from llmx.mock.schedules import BrownOut, LimitsChange, Outage
from llmx.mock.server import Server, run, serve
from llmx.mock.settings import Latency, MockSettings

__all__ = [
    "BrownOut",
    "GoldSettings",
    "Latency",
    "LimitsChange",
    "MockSettings",
    "Outage",
    "Server",
    "run",
    "serve",
]
