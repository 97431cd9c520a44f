"""The files that the package's build made for the pages; see `hatch_build.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from tailrace.errors import RequestError
from tailrace.web.exchanges import refuse

_FOLDER: Final = Path(__file__).parents[1] / "assets"
_KINDS: Final = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}
_HEADERS: Final = {
    # Asked about each time, and sent only when it is another: a new version of tailrace is never half shown.
    "cache-control": "no-cache",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


def serve_asset(name: str, request: Request, *, policy: str | None = None) -> Response:
    """A file of this name, which must be one of ours, under a content security policy; 304 where it is known."""
    path = _FOLDER / name
    headers = _HEADERS if policy is None else {**_HEADERS, "content-security-policy": policy}
    response = FileResponse(path, stat_result=path.stat(), media_type=_KINDS[path.suffix], headers=headers)
    if request.headers.get("if-none-match") == response.headers["etag"]:
        return Response(status_code=304, headers={**headers, "etag": response.headers["etag"]})
    return response


def refuse_asset(path: str, request: Request) -> Response:
    """404 for what is none of ours."""
    return refuse(RequestError(404, "not_found", f"there is no {path[:80]}"), request)
