"""`/v1/jobs`: handed in, looked at, read, ended."""

# Annotations are no strings here: FastAPI evaluates those of functions within functions.

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Depends, Header, Query, Request
from starlette.responses import Response

from llmx.jobs.desk import forget, resume
from llmx.jobs.document import document
from llmx.jobs.ids import is_job
from llmx.jobs.types import ENDED, Job, JobState
from llmx.records import to_json
from llmx.serve.asking import JobRequest, JobWithRows, checked
from llmx.serve.bodies import Reading, decoded, media_type, read_json
from llmx.serve.callers import caller
from llmx.serve.documents import JOB_ID, JobDocument, JobPage
from llmx.serve.house import House
from llmx.serve.keys import Key
from llmx.serve.openapi import ALWAYS, answer, json_body, problems, reference
from llmx.serve.orders import HandedIn, hand_in, idempotency_key, precheck
from llmx.serve.problems import Problem
from llmx.serve.routes.extract import accepts
from llmx.serve.streamed import EVENTS, Streamed, events
from llmx.serve.tidings import csv_lines, follow_events, lines_of
from llmx.serve.uploads import FORMATS, incoming, receive_form, receive_raw, written

__all__ = ["jobs_routes"]

_TEXT = {"schema": {"type": "string"}, "example": 'id,text\n1,"Ada Lovelace, 36, London"\n'}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FORM = {
    "schema": {
        "type": "object",
        "required": ["request", "file"],
        "properties": {"request": reference(JobRequest), "file": {"type": "string", "format": "binary"}},
    },
    "encoding": {"request": {"contentType": "application/json"}},
}
_BODIES = {
    "multipart/form-data": _FORM,
    "application/x-ndjson": {
        "schema": {"type": "string"},
        "example": '{"text": "Ada Lovelace, 36, London"}\n',
    },
    "text/csv": _TEXT,
    "text/tab-separated-values": _TEXT | {"example": "id\ttext\n1\tAda Lovelace, 36, London\n"},
    "application/vnd.apache.parquet": _BINARY,
}
_LINES = '{"text": "Ada Lovelace, 36, London", "name": "Ada Lovelace", "age": 36, "city": "London"}\n'
_NDJSON = "application/x-ndjson"
_LOCATION = {"Location": "Where the job is."}

Reader = TypeVar("Reader", bound=Callable[..., Awaitable[Response]])

After = Annotated[int, Query(ge=0, le=10**12, description="Rows that the reader has already.", examples=[0])]
Follow = Annotated[bool, Query(description="Wait for more until the job has ended.")]
Format = Annotated[
    Literal["jsonl", "csv"], Query(description="csv is for what is there now, without follow.")
]
Idempotency = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="The same key with the same request within a day is the same job.",
        examples=["2026-11-28-people"],
    ),
]


def jobs_routes(house: House) -> APIRouter:
    """The router."""
    router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
    _handing_in(router, house)
    _looking(router, house)
    _reading(router, house)
    _ending(router, house)
    return router


def _handing_in(router: APIRouter, house: House) -> None:
    may_submit = caller(house, "jobs")
    accepted = answer(
        "The job.",
        JobDocument,
        {**_LOCATION, "Idempotent-Replay": "true where an earlier request made the job."},
    )

    @router.post(
        "",
        operation_id="createJob",
        summary="Extract from many rows later",
        status_code=202,
        responses={202: accepted, **problems(*ALWAYS, 402, 408, 409, 413, 415, 422)},
        openapi_extra=json_body(JobWithRows, **_BODIES),
    )
    async def create_job(
        request: Request,
        key: Annotated[Key, Depends(may_submit)],
        idempotency: Idempotency = None,
        asked: Annotated[
            str | None,
            Query(
                alias="request",
                description="The request as JSON, where the body is a file of rows.",
                max_length=30_000,
            ),
        ] = None,
    ) -> Response:
        """Rows as JSON; or a form of a part `request` (JSON) and, after it, a part `file`; or a file as the body, with the
        request in the parameter `request`. What is wrong with schema, options or columns is told at once."""
        with house.drain.working():
            made = await _handed_in(house, key, request, asked, idempotency_key(idempotency))
        headers = {"Location": f"/v1/jobs/{made.job.id}"}
        if made.replay:
            headers["Idempotent-Replay"] = "true"
        return _shown(made.job, 202, headers)


async def _handed_in(
    house: House, key: Key, request: Request, asked: str | None, idempotency: str | None
) -> HandedIn:
    settings = house.settings
    folder = incoming(settings.data)
    kind = media_type(request)
    reading = Reading(settings.max_upload, settings.body_timeout, "upload")
    if kind == "multipart/form-data":
        async with receive_form(request, folder, reading, settings.max_body) as form:
            ask = checked(JobRequest, decoded(form.request))
            return await hand_in(house, key, ask, await precheck(house, key, ask), form.upload, idempotency)
    if kind in FORMATS:
        if asked is None:
            raise Problem(
                422, "request_missing", "the parameter 'request' is missing", hint='?request={"schema":…}'
            )
        ask = checked(JobRequest, decoded(asked.encode()))
        options = await precheck(house, key, ask)
        async with receive_raw(request, folder, reading) as upload:
            return await hand_in(house, key, ask, options, upload, idempotency)
    body = await read_json(request, Reading(settings.max_body, settings.body_timeout, "body"))
    given = checked(JobWithRows, body)
    options = await precheck(house, key, given)
    with written(folder, (to_json(row) + b"\n" for row in given.rows)) as upload:
        return await hand_in(house, key, given, options, upload, idempotency)


def _looking(router: APIRouter, house: House) -> None:
    may_look = caller(house, "jobs", "admin")
    own = _owned(house)

    @router.get(
        "",
        operation_id="listJobs",
        summary="List jobs, the newest first",
        responses={200: answer("A page of jobs.", JobPage), **problems(*ALWAYS, 422)},
    )
    async def list_jobs(
        key: Annotated[Key, Depends(may_look)],
        state: Annotated[JobState | None, Query(description="Only those in this state.")] = None,
        limit: Annotated[int, Query(ge=1, le=1_000, description="Jobs of a page.")] = 100,
        before: Annotated[
            str | None, Query(description="An id: only jobs older than it.", examples=[JOB_ID])
        ] = None,
    ) -> Response:
        """One's own; with the scope admin everybody's."""
        if before is not None and not is_job(before):
            raise Problem(422, "invalid_parameter", "before: not the id of a job")
        owner = None if key.may("admin") else key.name
        found = await house.desk.store.list(owner=owner, state=state, before=before, limit=limit + 1)
        page = found[:limit]
        following = page[-1].id if len(found) > limit else None
        return _json({"jobs": [document(job) for job in page], "next": following})

    @router.get(
        "/{id}",
        operation_id="getJob",
        summary="A job: state, progress, cost",
        responses={
            200: answer("The job.", JobDocument, {"ETag": "Its version."}),
            304: answer("It has not changed.", None, {"ETag": "Its version."}),
            **problems(*ALWAYS, 404),
        },
    )
    async def get_job(
        id: str,
        key: Annotated[Key, Depends(may_look)],
        if_none_match: Annotated[
            str | None, Header(description="An ETag that is known.", examples=['"17"'])
        ] = None,
    ) -> Response:
        """With `If-None-Match` 304 while nothing has changed."""
        job = await own(key, id)
        tag = {"ETag": f'"{job.version}"'}
        if if_none_match is not None and tag["ETag"] in [one.strip() for one in if_none_match.split(",")]:
            return Response(status_code=304, headers=tag)
        return _shown(job, 200, tag)


def _reading(router: APIRouter, house: House) -> None:
    may_look = caller(house, "jobs", "admin")
    own = _owned(house)

    def route(path: str, operation: str, summary: str) -> Callable[[Reader], Reader]:
        good = answer(
            "Rows, in the order of the input.", {_NDJSON: _LINES, "text/csv": "text,name,age\nAda,Ada,36\n"}
        )
        return router.get(
            path,
            operation_id=operation,
            summary=summary,
            responses={200: good, **problems(*ALWAYS, 404, 406, 422)},
        )

    async def read(
        request: Request, key: Key, id: str, what: str, after: int, follow: bool, format: str
    ) -> Response:
        accepts(request, _NDJSON, "text/csv", "application/json")
        if format == "csv" and follow:
            raise Problem(422, "invalid_parameter", "format=csv is for what is there now: leave out follow")
        job = await own(key, id)
        if format == "csv":
            return Streamed(csv_lines(house, job.id, what, after), "text/csv; charset=utf-8")
        return Streamed(lines_of(house, job.id, what, after, follow=follow), _NDJSON)

    @route("/{id}/results", "getResults", "The good rows so far")
    async def get_results(
        request: Request,
        id: str,
        key: Annotated[Key, Depends(may_look)],
        after: After = 0,
        follow: Follow = False,
        format: Format = "jsonl",
    ) -> Response:
        """A stream, read as slowly as you like, also while the job goes on."""
        return await read(request, key, id, "results", after, follow, format)

    @route("/{id}/errors", "getErrors", "The failed rows so far")
    async def get_errors(
        request: Request,
        id: str,
        key: Annotated[Key, Depends(may_look)],
        after: After = 0,
        follow: Follow = False,
        format: Format = "jsonl",
    ) -> Response:
        """Each is the row and `_error`; `_error.line` is its number in the upload."""
        return await read(request, key, id, "errors", after, follow, format)

    @router.get(
        "/{id}/events",
        operation_id="getEvents",
        summary="Progress as it happens",
        responses={
            200: answer(
                "Events `progress`, whose id is the job's version and whose data are the job, and a last one, `end`.",
                {EVENTS: 'event: progress\ndata: {"id": "' + JOB_ID + '", "state": "running"}\nid: 17\n\n'},
            ),
            **problems(*ALWAYS, 404, 406, 422),
        },
    )
    async def get_events(
        request: Request,
        id: str,
        key: Annotated[Key, Depends(may_look)],
        last: Annotated[
            str | None,
            Header(alias="Last-Event-ID", description="The last id that was seen.", examples=["17"]),
        ] = None,
    ) -> Response:
        """Each supersedes the ones before. A client that comes back with `Last-Event-ID` gets what is newer."""
        accepts(request, EVENTS)
        job = await own(key, id)
        version = int(last) if last and last.isascii() and last.isdigit() and len(last) < 16 else 0
        return Streamed(events(lambda emit: follow_events(house, job, version, emit)), EVENTS)


def _ending(router: APIRouter, house: House) -> None:
    may_end = caller(house, "jobs", "admin")
    own = _owned(house)

    @router.delete(
        "/{id}",
        operation_id="cancelJob",
        summary="Cancel a job, or forget one that has ended",
        responses={
            200: answer("The job, which has ended.", JobDocument),
            204: answer("It is forgotten.", None),
            **problems(*ALWAYS, 404, 409, 422),
        },
    )
    async def cancel_job(
        id: str,
        key: Annotated[Key, Depends(may_end)],
        forgotten: Annotated[
            bool, Query(alias="forget", description="Remove an ended job and its files.")
        ] = False,
    ) -> Response:
        """Of a job that has ended nothing changes, but with `forget=true`: then it is removed, with all its rows."""
        job = await own(key, id)
        if forgotten:
            if job.state not in ENDED:
                raise Problem(409, "job_not_ended", "the job has not ended", hint=f"DELETE /v1/jobs/{id}")
            if not await forget(house.desk, id):
                raise Problem(
                    409, "job_ending", "workers are still at it; again in a moment", retry_after=5.0
                )
            return Response(status_code=204)
        return _shown(await house.desk.store.cancel(id) or job, 200)

    @router.post(
        "/{id}/resume",
        operation_id="resumeJob",
        summary="Go on with a job that was stopped",
        status_code=202,
        responses={
            202: answer("The job, which waits again.", JobDocument, _LOCATION),
            **problems(*ALWAYS, 404, 409),
        },
    )
    async def resume_job(id: str, key: Annotated[Key, Depends(may_end)]) -> Response:
        """Only rows that have not ended are asked about; answers that arrived are not paid for again."""
        with house.drain.working():
            job = await own(key, id)
            if job.state != "stopped" or (resumed := await resume(house.desk, id)) is None:
                raise Problem(409, "job_not_stopped", f"the job is {job.state}, and not stopped")
        return _shown(resumed, 202, {"Location": f"/v1/jobs/{id}"})


def _owned(house: House) -> Any:
    """Finds a job that a key may see. Raises Problem: there is none."""

    async def owned(key: Key, id: str) -> Job:
        job = await house.desk.store.get(id) if is_job(id) else None
        if job is None or (job.owner != key.name and not key.may("admin")):
            raise Problem(404, "job_not_found", "there is no such job")
        return job

    return owned


def _shown(job: Job, status: int, headers: dict[str, str] | None = None) -> Response:
    return _json(document(job), status, headers)


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(to_json(value), status, headers, "application/json")
