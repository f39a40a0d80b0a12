"""`action.yml` is in GitHub's format, and its steps do what they say on a runner's files."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from commands import Mock
from ruamel.yaml import YAML

from .conftest import ROOT, SCHEMA, truth
from .runner import Job, Step

ACTION = YAML(typ="safe").load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS = ACTION["runs"]["steps"]
SCRIPTS = [path for path in sorted((ROOT / ".ci" / "action").iterdir()) if path.suffix == ""]


@pytest.fixture
def job(checkout: Path, workspace: Path, variables: dict[str, str], tmp_path: Path) -> Job:
    return Job(checkout, workspace, tmp_path / "temp", variables)


def codes(steps: list[Step]) -> dict[str, int]:
    return {step.name: step.code for step in steps if step.code is not None}


def start(provider: Callable[..., Mock], job: Job, **settings: Any) -> Mock:
    """A provider that knows the answers to the job's rows."""
    return provider(job.workspace / "gold.csv", rows=job.workspace / "rows.csv", **settings)


def log(steps: list[Step]) -> str:
    return "".join(step.log for step in steps)


def use(job: Job, mock: Mock, **inputs: str) -> list[Step]:
    job.env["OPENAI_BASE_URL"] = f"{mock.url}/v1"
    given = {"file": "rows.csv", "schema": SCHEMA, "model": "openai/mock", "key": "id"}
    return job.run(**given | inputs)


def test_the_format() -> None:
    """GitHub's schema of an action has nothing to say against it."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-actions"]
    done = subprocess.run([*command, str(ROOT / "action.yml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_no_value_is_pasted_into_a_command() -> None:
    """Expressions are in no script, where a value would be read as code; every input goes to a step's environment."""
    assert [step["name"] for step in STEPS if "${{" in step.get("run", "")] == []
    used = set(re.findall(r"inputs\.([\w-]+)", (ROOT / "action.yml").read_text(encoding="utf-8")))
    assert used == ACTION["inputs"].keys()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_sound(script: Path) -> None:
    """They are POSIX shell, and shellcheck, where it is installed, finds nothing."""
    checks = [["sh", "-n", str(script)]]
    checks += [[found, str(script)] for found in [shutil.which("shellcheck")] if found]
    for check in checks:
        done = subprocess.run(check, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_step_finds_its_script() -> None:
    """The files that the steps run are there."""
    named = re.findall(r"\$GITHUB_ACTION_PATH/([\w./-]+)", "".join(step.get("run", "") for step in STEPS))
    assert len(named) == 4
    assert all((ROOT / name).is_file() for name in named)


def test_rows_are_labelled(job: Job, provider: Callable[..., Mock]) -> None:
    """The rows are in the output, the figures in the job's summary and in a file; a second run asks nothing."""
    mock = start(provider, job)
    steps = use(job, mock)
    assert codes(steps) == {"Install llmx": 0, "Extract": 0}, log(steps)
    rows = [json.loads(line) for line in (job.workspace / "labels.jsonl").read_text().splitlines()]
    assert (40, "good", 0) == (len(rows), rows[0]["tone"], rows[0]["stars"])
    assert job.outputs["extract"]["output"] == "labels.jsonl"
    assert json.loads(Path(job.outputs["extract"]["summary"]).read_text())["rows"]["ok"] == 40
    assert "### `labels.jsonl`" in job.summary
    assert "40 rows: 40 ok, 0 failed, 0 known from before · 40 calls at unknown cost" in job.summary
    shutil.rmtree(job.workspace / ".llmx")
    (job.workspace / "labels.jsonl").unlink()
    use(job, mock)
    assert "40 known from before · 0 calls" in job.summary
    assert mock.calls == 40


def test_every_use_saves_under_a_name_of_its_own(job: Job, provider: Callable[..., Mock]) -> None:
    """GitHub's cache never changes what it has under a name, so a second use in a job would save nothing."""
    mock = start(provider, job)
    names = []
    for _ in range(2):
        use(job, mock)
        names.append(job.outputs["install"]["unique"])
    assert re.fullmatch("[0-9a-f]{16} [0-9a-f]{16}", " ".join(names))
    assert names[0] != names[1]


def test_several_files_models_and_arguments(job: Job, provider: Callable[..., Mock]) -> None:
    """One per line, blank lines left out."""
    mock = start(provider, job)
    shutil.copy(job.workspace / "rows.csv", job.workspace / "-more rows.csv")
    args = "--keep\nid\n\n--prefix=label_"
    steps = use(job, mock, file="rows.csv\n-more rows.csv\n", model="openai/a\nopenai/b", args=args)
    assert codes(steps)["Extract"] == 0, log(steps)
    rows = [json.loads(line) for line in (job.workspace / "labels.jsonl").read_text().splitlines()]
    assert (80, {"id", "label_tone", "label_stars"}) == (len(rows), rows[0].keys())


HOSTILE = [
    '"; touch pwned; "',
    "$(touch pwned)",
    "`touch pwned`",
    "x\nLINES\ntouch pwned",
    "${IFS}&touch pwned",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_values_are_never_run(job: Job, provider: Callable[..., Mock], value: str) -> None:
    """Whatever stands in an input is a value, and mostly a wrong one."""
    mock = start(provider, job)
    for name in ("file", "schema", "model", "output", "key", "max_cost", "args", "version"):
        use(job, mock, **{name: value})
    assert not [path for path in job.temp.parent.rglob("*pwned*") if path.name == "pwned"]


@pytest.mark.parametrize(
    ("inputs", "code", "said"),
    [
        ({"schema": "nonsense"}, 2, "there is no schema named 'nonsense'"),
        ({"output": "a\nb"}, 2, "the output's name has several lines"),
        ({"file": "none.csv"}, 2, "none.csv"),
    ],
)
def test_the_exit_code_is_llmxs(
    job: Job, provider: Callable[..., Mock], inputs: dict[str, str], code: int, said: str
) -> None:
    """The job fails with it, and nothing is evaluated."""
    steps = use(job, start(provider, job), gold="gold.csv", **inputs)
    assert codes(steps) == {"Install llmx": 0, "Extract": code}
    assert said in log(steps)


def test_another_version(job: Job, provider: Callable[..., Mock], tmp_path: Path) -> None:
    """It is fetched from the action's own repository, and set up there."""
    upstream = tmp_path / "server" / "some" / "llmx"
    shutil.copytree(job.action, upstream, symlinks=True)
    (upstream / ".ci" / "setup").write_text('touch "$(dirname "$0")/../was-set-up"\n')
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-C", str(upstream)]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"], ["tag", "v9"]):
        subprocess.run([*git, *command], check=True)
    job.env["GITHUB_SERVER_URL"] = f"file://{tmp_path / 'server'}"
    mock = start(provider, job)
    assert codes(use(job, mock, version="v9")) == {"Install llmx": 0, "Extract": 0}
    assert (job.temp / "llmx-source" / "was-set-up").exists()
    assert use(job, mock, version="v8")[1].code != 0
    assert use(job, mock, version="--upload-pack=touch pwned")[1].code == 2


class _Api(BaseHTTPRequestHandler):
    """As much of GitHub's API as comments need; it keeps what it was asked."""

    comments: ClassVar[list[dict[str, Any]]] = []
    asked: ClassVar[list[tuple[str, str, str | None]]] = []

    def _answer(self, method: str) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        self.asked.append((method, self.path, self.headers["authorization"]))
        reply: Any = body
        if method == "GET":
            page = int(re.findall(r"page=(\d+)$", self.path)[0])
            reply = self.comments[(page - 1) * 100 : page * 100]
        elif method == "POST":
            self.comments.append({"id": len(self.comments), **body})
        else:
            self.comments[int(self.path.rpartition("/")[2])] |= body
        data = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PATCH(self) -> None:
        self._answer("PATCH")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def api() -> Iterator[str]:
    """The address of an API with 150 comments of other people."""
    _Api.asked.clear()
    _Api.comments[:] = [{"id": number, "body": None if number % 2 else "LGTM"} for number in range(150)]
    with ThreadingHTTPServer(("127.0.0.1", 0), _Api) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_one_comment_that_is_renewed(job: Job, provider: Callable[..., Mock], api: str) -> None:
    """The first run writes it after all others, the second changes it; no comment is made without a token."""
    mock = start(provider, job)
    job.env |= {"GITHUB_API_URL": api, "GITHUB_REPOSITORY": "some/where"}
    job.event = {"pull_request": {"number": 7}}
    use(job, mock)
    assert _Api.asked == []
    for model, known in (("mock", 40), ("another", 0)):
        steps = use(job, mock, model=f"openai/{model}", github_token="secret")
        assert codes(steps)["Comment on the pull request"] == 0, log(steps)
        assert len(_Api.comments) == 151
        assert f"0 failed, {known} known from before" in _Api.comments[150]["body"]
        assert "secret" not in log(steps) + job.summary
    assert [method for method, _, _ in _Api.asked] == ["GET", "GET", "POST", "GET", "GET", "PATCH"]
    assert _Api.asked[2][1:] == ("/repos/some/where/issues/7/comments", "Bearer secret")
    assert _Api.asked[5][1] == "/repos/some/where/issues/comments/150"


def test_no_comment_outside_of_a_pull_request(job: Job, provider: Callable[..., Mock]) -> None:
    """A token alone is no reason for one."""
    steps = use(job, start(provider, job), github_token="secret")
    assert "Comment on the pull request" not in codes(steps)


def test_a_comment_that_cannot_be_made(job: Job, provider: Callable[..., Mock]) -> None:
    """Is a warning, and the job goes on."""
    job.env |= {"GITHUB_API_URL": "http://127.0.0.1:9", "GITHUB_REPOSITORY": "some/where"}
    job.event = {"pull_request": {"number": 7}}
    steps = use(job, start(provider, job), github_token="secret")
    assert codes(steps)["Comment on the pull request"] == 0
    assert "::warning::no comment on the pull request" in log(steps)


@pytest.mark.parametrize(("minimum", "code"), [("accuracy=0.5", 0), ("accuracy=0.99", 6)])
def test_the_gate(job: Job, provider: Callable[..., Mock], minimum: str, code: int) -> None:
    """The evaluation's figures are the truth's; below a minimum the job fails, and still says what it found."""
    mock = start(provider, job, errors=0.2)
    steps = use(job, mock, gold="gold.csv", minimums=f"tone.accuracy=0.5\n{minimum}\n")
    assert codes(steps) == {"Install llmx": 0, "Extract": 0, "Evaluate": code}, log(steps)
    (model,) = truth(mock)["models"].values()
    figures = json.loads(Path(job.outputs["evaluate"]["eval"]).read_text(encoding="utf-8"))
    assert {path: field["accuracy"] for path, field in figures["fields"].items()} == {
        path: pytest.approx(field["accuracy"]) for path, field in model["fields"].items()
    }
    wrong = sum(field["wrong"] for field in model["fields"].values())
    assert float(job.outputs["evaluate"]["accuracy"]) == pytest.approx(1 - wrong / 80)
    assert "tone" in job.summary


def test_a_baseline(job: Job, provider: Callable[..., Mock]) -> None:
    """Labels that are significantly worse than earlier ones fail the job, without any minimum."""
    assert codes(use(job, start(provider, job), output="earlier.jsonl"))["Extract"] == 0
    mock = start(provider, job, errors=0.7)
    steps = use(
        job, mock, gold="gold.csv", baseline="earlier.jsonl", eval_args="--alpha=0.01\n--fields=tone,stars"
    )
    assert codes(steps)["Evaluate"] == 6, log(steps)


def test_what_cannot_be_evaluated(job: Job, provider: Callable[..., Mock]) -> None:
    """Ends the job with the command's own code and words."""
    steps = use(job, start(provider, job), gold="none.csv")
    assert codes(steps)["Evaluate"] == 2
    assert "none.csv" in log(steps)
