"""The action's comment on a pull request: one per output file, renewed by every run.

Runs with any python3 and nothing installed. API: https://docs.github.com/en/rest/issues/comments
"""

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

LONGEST = 65_000  # characters: GitHub refuses a comment of more than 65,536
PAGE = 100


def main() -> int:
    """Write the comment, or say why not: a result that cannot be shown is no reason for a job to fail."""
    report = Path(os.environ["RUNNER_TEMP"], "llmx-results", "report.md")
    if not report.exists():
        return 0
    event = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
    number = int(event["pull_request"]["number"])
    mark = f"<!-- llmx {json.dumps(os.environ['INPUT_OUTPUT']).replace('--', '')} -->"
    text = f"{mark}\n{report.read_text(encoding='utf-8')}"
    try:
        write(number, mark, text if len(text) <= LONGEST else text[:LONGEST] + "\n\n… cut")
    except (urllib.error.URLError, TimeoutError) as error:
        print(f"::warning::no comment on the pull request: {error}", file=sys.stderr)
    return 0


def write(number: int, mark: str, text: str) -> None:
    """Renew the comment that begins with the mark, or make it."""
    comments = f"/repos/{os.environ['GITHUB_REPOSITORY']}/issues"
    known = earlier(f"{comments}/{number}/comments", mark)
    if known is None:
        request("POST", f"{comments}/{number}/comments", {"body": text})
    else:
        request("PATCH", f"{comments}/comments/{known}", {"body": text})


def earlier(path: str, mark: str) -> int | None:
    """The number of the comment that begins with the mark."""
    page = 1
    while True:
        comments = request("GET", f"{path}?per_page={PAGE}&page={page}")
        for comment in comments:
            if (comment["body"] or "").startswith(mark):
                return int(comment["id"])
        if len(comments) < PAGE:
            return None
        page += 1


def request(method: str, path: str, body: Any = None) -> Any:
    """One call of the API, and the JSON that it answers with."""
    url = os.environ["GITHUB_API_URL"] + path
    headers = {
        "authorization": f"Bearer {os.environ['GITHUB_TOKEN']}",
        "accept": "application/vnd.github+json",
        "content-type": "application/json",
    }
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - the runner's own API URL
    with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310
        return json.load(answer)


if __name__ == "__main__":
    sys.exit(main())
