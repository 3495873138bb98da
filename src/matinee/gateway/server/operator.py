"""Handlers of the operator's pages: ingest, jobs, titles, services, edges, searches."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, get, post, put
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from matinee.catalogue.api import Title, TitleDraft
from matinee.encoding.api import Job, JobState
from matinee.gateway.api.operator import Drain, IngestAnswer, IngestRequest, ServiceView, TitleEntry
from matinee.gateway.model.presentation import to_title_entry
from matinee.gateway.server.guards import BEARER, record_operator_act, require_operator
from matinee.gateway.server.state import HttpRequest, get_principal, get_state
from matinee.kit.ids import EdgeId, JobId, TitleId
from matinee.kit.page import Page
from matinee.kit.problem import Fault, Invalid
from matinee.search.api import QueryReport
from matinee.steering.api import Edge


class OperatorController(Controller):
    """Ingest, jobs, titles, services, edges, searches."""

    tags = ("operator",)
    guards = (require_operator, record_operator_act)
    security = BEARER

    @post("/operator/ingest", status_code=202)
    async def ingest(self, request: HttpRequest, data: JSONBody[IngestRequest]) -> IngestAnswer:
        """Turn an upload into a title."""
        return await get_state(request).intake.ingest(account_id=get_principal().account_id, request=data)

    @get("/operator/jobs")
    async def list_jobs(
        self,
        request: HttpRequest,
        job_state: Annotated[JobState | None, QueryParameter(name="state")] = None,
        cursor: FromQuery[str | None] = None,
    ) -> Page[Job]:
        """List jobs, newest first."""
        return await get_state(request).encoding.list_jobs(state=job_state, cursor=cursor)

    @post("/operator/jobs/{job_id:str}/cancel", status_code=200)
    async def cancel_job(self, request: HttpRequest, job_id: FromPath[JobId]) -> Job:
        """Cancel a job; the results of finished steps are kept."""
        return await get_state(request).encoding.cancel(job_id=job_id)

    @post("/operator/jobs/{job_id:str}/retry", status_code=200)
    async def retry_job(self, request: HttpRequest, job_id: FromPath[JobId]) -> Job:
        """Queue a failed or cancelled job again."""
        return await get_state(request).encoding.retry(job_id=job_id)

    @get("/operator/titles")
    async def list_titles(self, request: HttpRequest, cursor: FromQuery[str | None] = None) -> Page[TitleEntry]:
        """List all titles in every state, newest first."""
        page = await get_state(request).catalogue.everything(cursor=cursor)
        return Page(items=[to_title_entry(title) for title in page.items], next_cursor=page.next_cursor)

    @get("/operator/titles/{title_id:str}")
    async def get_stored_title(self, request: HttpRequest, title_id: FromPath[TitleId]) -> Title:
        """Return a title with all that is stored of it."""
        return await get_state(request).catalogue.title(title_id=title_id)

    @put("/operator/titles/{title_id:str}")
    async def put_title(self, request: HttpRequest, title_id: FromPath[TitleId], data: JSONBody[TitleDraft]) -> Title:
        """Create or replace a title."""
        if data.title_id != title_id:
            raise Invalid(faults=[Fault("title_id", "is not the title in the address")])
        return await get_state(request).catalogue.put_title(draft=data)

    @post("/operator/titles/{title_id:str}/publish", status_code=200)
    async def publish_title(self, request: HttpRequest, title_id: FromPath[TitleId]) -> Title:
        """Publish a title."""
        return await get_state(request).catalogue.publish(title_id=title_id)

    @post("/operator/titles/{title_id:str}/withdraw", status_code=200)
    async def withdraw_title(self, request: HttpRequest, title_id: FromPath[TitleId]) -> Title:
        """Withdraw a title."""
        return await get_state(request).catalogue.withdraw(title_id=title_id)

    @get("/operator/services")
    async def list_services(self, request: HttpRequest) -> list[ServiceView]:
        """List every instance of every service."""
        return await get_state(request).instances.services()

    @get("/operator/edges")
    async def list_edges(self, request: HttpRequest) -> list[Edge]:
        """List every edge that has sent a heartbeat in the last day."""
        return await get_state(request).steering.list_edges()

    @post("/operator/edges/{edge_id:str}/drain", status_code=200)
    async def drain_edge(self, request: HttpRequest, edge_id: FromPath[EdgeId], data: JSONBody[Drain]) -> Edge:
        """Stop or resume giving new sessions to an edge."""
        return await get_state(request).steering.drain(edge_id=edge_id, draining=data.draining)

    @get("/operator/searches")
    async def report_queries(
        self, request: HttpRequest, days: FromQuery[int] = 7, limit: FromQuery[int] = 50
    ) -> QueryReport:
        """Return what viewers searched for: what found nothing, after what nothing was opened, and most frequently."""
        return await get_state(request).search.report_queries(days=days, limit=limit)
