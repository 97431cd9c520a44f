"""The routes for keys, browser tokens, usage and the dashboard, each with its documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from tailrace.generation import Generations
from tailrace.keys import KeyChanges, KeyFace, KeyList, Keyring, MadeKeyFace, NewKey
from tailrace.ledger import Ledger
from tailrace.metrics import Metrics
from tailrace.providers import Provider
from tailrace.settings import Models
from tailrace.web.admin.bodies import GenerationsQuery, TokenBody, TokenFace, UsageQuery
from tailrace.web.admin.keys import Keys
from tailrace.web.admin.overview import Overview
from tailrace.web.admin.overview_faces import OverviewFace
from tailrace.web.admin.report_faces import ModelLatencyList, PointList, SpendingList
from tailrace.web.admin.reports import LatencyQuery, Reports, SeriesQuery
from tailrace.web.admin.tokens import Tokens
from tailrace.web.admin.usage import Usage
from tailrace.web.auth import Gate, KeyGate
from tailrace.web.endpoints import Endpoints
from tailrace.web.figures import RowList, TotalList
from tailrace.web.openapi.building import answering, query_of

_KEY_ID: Final = {"name": "key_id", "in": "path", "required": True, "schema": {"type": "string"}}


class Host(Protocol):
    """What the routes need of the application. `gate` admits; `key_gate` knows keys and issues tokens."""

    @property
    def models(self) -> Models: ...

    @property
    def ledger(self) -> Ledger: ...

    @property
    def generations(self) -> Generations: ...

    @property
    def metrics(self) -> Metrics: ...

    @property
    def providers(self) -> Mapping[str, Provider]: ...

    @property
    def gate(self) -> Gate: ...

    @property
    def key_gate(self) -> KeyGate: ...


class AdminRoutes(Endpoints):
    """These routes, as `router`."""

    def __init__(self, host: Host) -> None:
        super().__init__(host.gate, tag="administration")
        self._add_keys(Keys(Keyring(host.ledger, host.models), host.key_gate))
        self._add_tokens(Tokens(host.key_gate, host.models))
        self._add_usage(Usage(host.ledger))
        self._add_overview(Overview(host.generations, host.ledger, host.metrics, host.providers))
        self._add_reports(Reports(host.ledger))

    def _add_keys(self, keys: Keys) -> None:
        made = answering("Make a key; its text is shown this once", MadeKeyFace, status=201, body=NewKey)
        self.add("POST", "/v1/keys", keys.create, made)
        self.add("GET", "/v1/keys", keys.list, answering("All keys, oldest first", KeyList))
        changed = answering("Change a key; null takes a limit away", KeyFace, body=KeyChanges, parameters=[_KEY_ID])
        self.add("PATCH", "/v1/keys/{key_id}", keys.update, changed)
        revoked = answering("Revoke a key for good; the same answer each time", KeyFace, parameters=[_KEY_ID])
        self.add("DELETE", "/v1/keys/{key_id}", keys.revoke, revoked)

    def _add_tokens(self, tokens: Tokens) -> None:
        issued = answering("A token for a browser, for chat alone", TokenFace, body=TokenBody)
        self.add("POST", "/v1/tokens", tokens.issue, issued)

    def _add_usage(self, usage: Usage) -> None:
        sums = answering(
            "Own usage, summed; everyone's for an admin", TotalList, parameters=query_of(UsageQuery), csv=True
        )
        self.add("GET", "/v1/usage", usage.sum, sums)
        rows = answering(
            "Own generations, newest first; everyone's for an admin",
            RowList,
            parameters=query_of(GenerationsQuery),
            csv=True,
        )
        self.add("GET", "/v1/usage/generations", usage.list, rows)

    def _add_overview(self, overview: Overview) -> None:
        now = answering("All that goes on at this moment, for an admin", OverviewFace)
        self.add("GET", "/v1/overview", overview.show, now)

    def _add_reports(self, reports: Reports) -> None:
        series = answering(
            "Everyone's usage in steps of time, for an admin", PointList, parameters=query_of(SeriesQuery)
        )
        self.add("GET", "/v1/usage/series", reports.series, series)
        waits = answering(
            "How long everyone's answers took, for an admin", ModelLatencyList, parameters=query_of(LatencyQuery)
        )
        self.add("GET", "/v1/usage/latency", reports.latency, waits)
        spend = answering("What each key has spent, and its budget, for an admin", SpendingList)
        self.add("GET", "/v1/spend", reports.spend, spend)
