"""Why an answer ends before it is whole: the timeouts that it keeps."""

from __future__ import annotations

from tailrace.errors import StreamError
from tailrace.settings import OnDisconnect, StreamSettings


def find_overdue(
    limits: StreamSettings, now: float, *, began: float, heard: float, answers: bool
) -> StreamError | None:
    """The timeout that an answer has run into: `heard` is when its upstream last spoke, `answers` is with content."""
    if now - began > limits.total_s:
        return StreamError("total_timeout", f"the answer took longer than {limits.total_s:g} s")
    if not answers and now - began > limits.first_token_s:
        return StreamError("first_token_timeout", f"no first token within {limits.first_token_s:g} s")
    if answers and now - heard > limits.idle_s:
        return StreamError("idle_timeout", f"the upstream was silent for {limits.idle_s:g} s")
    return None


def is_grace_over(policy: OnDisconnect, now: float, *, alone_since: float | None) -> bool:
    """Whether nobody came back in time to an answer that has had no reader since then."""
    if alone_since is None or isinstance(policy, str):
        return False
    return now - alone_since > policy
