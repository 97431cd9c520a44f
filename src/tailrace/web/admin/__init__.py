"""The routes around the streams: keys, browser tokens, usage."""

from tailrace.web.admin.bodies import UsageQuery
from tailrace.web.admin.routes import AdminRoutes, Host

__all__ = ["AdminRoutes", "Host", "UsageQuery"]
