"""The operator's pages: masters in, jobs, titles, services, edges."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, get, post, put
from litestar.params import QueryParameter

from matinee.catalogue.api import Title, TitleDraft
from matinee.encoding.api import Job, JobState
from matinee.gateway.api import Drain, IngestAnswer, IngestRequest, ServiceView
from matinee.gateway.server.state import get_state, principal
from matinee.kit.ids import EdgeId, JobId, TitleId
from matinee.kit.page import Page
from matinee.kit.problem import Fault, Invalid
from matinee.steering.api import Edge


@post("/operator/ingest", status_code=202)
async def ingest(request: Request[Any, Any, Any], data: IngestRequest) -> IngestAnswer:
    """Make a title of an upload."""
    return await get_state(request).intake.ingest(account_id=principal().account_id, request=data)


@get("/operator/jobs")
async def list_jobs(
    request: Request[Any, Any, Any],
    job_state: Annotated[JobState | None, QueryParameter(name="state")] = None,
    cursor: str | None = None,
) -> Page[Job]:
    """Jobs, newest first."""
    return await get_state(request).encoding.list_jobs(state=job_state, cursor=cursor)


@post("/operator/jobs/{job_id:str}/cancel", status_code=200)
async def cancel_job(request: Request[Any, Any, Any], job_id: JobId) -> Job:
    """Stop a job; finished steps stay."""
    return await get_state(request).encoding.cancel(job_id=job_id)


@post("/operator/jobs/{job_id:str}/retry", status_code=200)
async def retry_job(request: Request[Any, Any, Any], job_id: JobId) -> Job:
    """Queue a failed or cancelled job again."""
    return await get_state(request).encoding.retry(job_id=job_id)


@get("/operator/titles")
async def list_titles(request: Request[Any, Any, Any], cursor: str | None = None) -> Page[Title]:
    """All titles in every state, newest first."""
    return await get_state(request).catalogue.everything(cursor=cursor)


@put("/operator/titles/{title_id:str}")
async def put_title(request: Request[Any, Any, Any], title_id: TitleId, data: TitleDraft) -> Title:
    """Create a title, or replace what is said of it."""
    if data.title_id != title_id:
        raise Invalid(faults=[Fault("title_id", "is not the title in the address")])
    return await get_state(request).catalogue.put_title(draft=data)


@post("/operator/titles/{title_id:str}/publish", status_code=200)
async def publish_title(request: Request[Any, Any, Any], title_id: TitleId) -> Title:
    """Offer a title."""
    return await get_state(request).catalogue.publish(title_id=title_id)


@post("/operator/titles/{title_id:str}/withdraw", status_code=200)
async def withdraw_title(request: Request[Any, Any, Any], title_id: TitleId) -> Title:
    """Stop offering a title."""
    return await get_state(request).catalogue.withdraw(title_id=title_id)


@get("/operator/services")
async def list_services(request: Request[Any, Any, Any]) -> list[ServiceView]:
    """Every instance of every service."""
    return await get_state(request).instances.services()


@get("/operator/edges")
async def list_edges(request: Request[Any, Any, Any]) -> list[Edge]:
    """Every edge heard of in the last day."""
    return await get_state(request).steering.list_edges()


@post("/operator/edges/{edge_id:str}/drain", status_code=200)
async def drain_edge(request: Request[Any, Any, Any], edge_id: EdgeId, data: Drain) -> Edge:
    """Give an edge no new sessions, or some again."""
    return await get_state(request).steering.drain(edge_id=edge_id, draining=data.draining)
