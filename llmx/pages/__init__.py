"""Pages about an output: one self-contained HTML file, or the same page served while a run goes on.

`report` writes the file, `server` serves it; both fold the rows once (`collect`) into figures and into chunks that the
page (`page/`: HTML, style, script) unpacks on demand. It reads what a run has left (rows, errors, journal, manifest)
and writes nothing of a run; whether rows are right is for the evaluations to say.
"""

from __future__ import annotations

from llmx.pages.live import LivePage
from llmx.pages.report import Asked, Written, write_report
from llmx.pages.server import serve_page

__all__ = ["Asked", "LivePage", "Written", "serve_page", "write_report"]
