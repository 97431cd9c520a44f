"""What measured streams say about the way that they came: what is wrong on it, and the setting that mends it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Literal, TypeAlias

import msgspec

from tailrace.cli.probing import DELAY_MS, TOKENS, Measured, Paced, Silent

Verdict: TypeAlias = Literal["good", "note", "bad"]
Fault: TypeAlias = Literal["buffers", "compresses", "cuts"]

_SENT_S: Final = (TOKENS - 1) * DELAY_MS / 1000
_LATE: Final = 0.5
_LUMP: Final = 4
_GATEWAY_TIMEOUT: Final = frozenset({408, 502, 503, 504, 524})

_PROXIES: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "nginx": (("server", "nginx"), ("server", "openresty")),
    "Cloudflare": (("server", "cloudflare"), ("cf-ray", "")),
    "Apache": (("server", "apache"),),
    "Caddy": (("server", "caddy"), ("via", "caddy")),
    "Envoy": (("server", "envoy"), ("x-envoy-upstream-service-time", "")),
    "Amazon CloudFront": (("x-amz-cf-id", ""), ("via", "cloudfront")),
    "Varnish": (("via", "varnish"), ("x-varnish", "")),
}
"""How a proxy gives itself away: a header, and what is in it."""

_MENDS: Final[Mapping[tuple[str, Fault], str]] = {
    ("nginx", "buffers"): "proxy_buffering off; and no `proxy_ignore_headers X-Accel-Buffering`",
    ("nginx", "compresses"): "gzip off; or leave text/event-stream out of gzip_types (the same for brotli)",
    ("nginx", "cuts"): "proxy_read_timeout 1h; and proxy_send_timeout 1h;",
    ("Apache", "buffers"): "ProxyPass … flushpackets=on, and no mod_deflate for it",
    ("Apache", "compresses"): "SetEnv no-gzip 1 for this location",
    ("Apache", "cuts"): "ProxyTimeout 3600",
    ("Caddy", "buffers"): "flush_interval -1 in reverse_proxy",
    ("Caddy", "compresses"): "no `encode` for this route, or a matcher that leaves text/event-stream out",
    ("Caddy", "cuts"): "response_header_timeout and read_timeout of reverse_proxy's http transport",
    ("Envoy", "cuts"): "timeout: 0s on the route, and a longer stream_idle_timeout",
    ("Cloudflare", "cuts"): "it gives up after 100 s without a byte: keep heartbeat_s well below",
    ("Amazon CloudFront", "cuts"): "a longer origin response timeout; it is 30 s unless changed",
}
_ANY_MEND: Final[Mapping[Fault, str]] = {
    "buffers": "turn response buffering off for text/event-stream; compression buffers too",
    "compresses": "turn compression off for text/event-stream; a compressor holds tokens back",
    "cuts": "raise the time that it lets a response be silent above [stream] heartbeat_s, better to an hour",
}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at; `mend` is what to change where it is bad."""

    verdict: Verdict
    text: str
    mend: str = ""


def diagnose(measured: Measured) -> list[Finding]:
    """What there is to say, in the order in which to read it."""
    if '"status":"ok"' not in measured.health.replace(" ", ""):
        return [
            Finding(
                verdict="bad",
                text=f"no tailrace answers at {measured.url}/health",
                mend="name the address under which tailrace's routes lie, with the prefix if there is one",
            )
        ]
    paced = measured.paced
    if paced.status != 200:
        return [Finding(verdict="bad", text=f"a stream was refused with {paced.status}: {paced.detail[:300]}")]
    proxy = name_proxy(paced.headers)
    return [*_judge_headers(paced, proxy), *_judge_pace(paced, proxy), _judge_silence(measured.silent, proxy)]


def name_proxy(headers: Mapping[str, str]) -> str | None:
    """The proxy that a response came through, as far as it says."""
    for name, marks in _PROXIES.items():
        if any(field in headers and value in _header(headers, field) for field, value in marks):
            return name
    return None


def _judge_headers(paced: Paced, proxy: str | None) -> Iterator[Finding]:
    yield Finding(verdict="note", text=f"{paced.http_version}, {_describe_way(paced.headers, proxy)}")
    if not _header(paced.headers, "content-type").startswith("text/event-stream"):
        kind = paced.headers.get("content-type", "nothing")
        yield Finding(verdict="bad", text=f"the stream's Content-Type comes as {kind!r}, not text/event-stream")
    if "no-transform" not in _header(paced.headers, "cache-control"):
        yield Finding(verdict="note", text="Cache-Control: no-transform was taken away on the way")
    if coding := _header(paced.headers, "content-encoding"):
        yield _fault(f"the stream is compressed on the way ({coding})", "compresses", proxy)
    else:
        yield Finding(verdict="good", text="nothing compresses the stream")


def _describe_way(headers: Mapping[str, str], proxy: str | None) -> str:
    if proxy is not None:
        return f"through {proxy}"
    if "x-accel-buffering" in headers:
        return "no proxy shows itself"
    return "through a proxy that took X-Accel-Buffering for itself, as nginx does"


def _judge_pace(paced: Paced, proxy: str | None) -> Iterator[Finding]:
    came = sum(arrival.tokens for arrival in paced.arrivals)
    if not paced.whole:
        text = f"the stream broke off after {came} of {TOKENS} tokens: {paced.detail or 'its end never came'}"
        yield _fault(text, "cuts", proxy)
        return
    span = paced.arrivals[-1].at if paced.arrivals else 0.0
    lump = max((arrival.tokens for arrival in paced.arrivals), default=0)
    times = f"{came} tokens sent over {_SENT_S:.1f} s came over {span:.1f} s, {lump} at once at the most"
    if span < _SENT_S * _LATE or lump > _LUMP:
        yield _fault(f"the stream is held back on the way: {times}", "buffers", proxy)
    else:
        yield Finding(verdict="good", text=f"tokens come as they are sent: {times}")


def _judge_silence(silent: Silent, proxy: str | None) -> Finding:
    if silent.whole:
        return Finding(verdict="good", text=f"a silence of {silent.asked_s:g} s is survived")
    ended = f"after {silent.lasted_s:.1f} s of {silent.asked_s:g} s"
    if silent.status in _GATEWAY_TIMEOUT:
        return _fault(f"a silent stream was answered with {silent.status} {ended}", "cuts", proxy)
    if silent.status not in (None, 200):
        return Finding(verdict="bad", text=f"a silent stream was refused with {silent.status}")
    return _fault(f"a silent stream was cut {ended}: {silent.detail or 'its end never came'}", "cuts", proxy)


def _fault(text: str, fault: Fault, proxy: str | None) -> Finding:
    mend = _MENDS.get((proxy or "", fault))
    if mend is not None:
        return Finding(verdict="bad", text=text, mend=f"in {proxy}: {mend}")
    return Finding(verdict="bad", text=text, mend=_ANY_MEND[fault])


def _header(headers: Mapping[str, str], name: str) -> str:
    """A header's value in small letters, "" where there is none."""
    return headers.get(name, "").lower()
