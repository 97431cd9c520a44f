"""Who may: keys where there are any, else open mode, which lets in this machine alone and nobody's web page."""

from tailrace.web.auth.addresses import Proxies, is_loopback, is_loopback_origin
from tailrace.web.auth.allow_lists import AllowLists
from tailrace.web.auth.callers import ADMIN, APPLICATION, LOCAL, Caller, owner_name
from tailrace.web.auth.gate import Gate
from tailrace.web.auth.guesses import Guesses
from tailrace.web.auth.identify_gate import Identify, IdentifyGate
from tailrace.web.auth.key_gate import IssuedToken, KeyGate, Terms
from tailrace.web.auth.open_gate import OpenGate, UntilKeyedGate
from tailrace.web.auth.own_pages import COOKIE, LIFE_S, check_own_page

__all__ = [
    "ADMIN",
    "APPLICATION",
    "COOKIE",
    "LIFE_S",
    "LOCAL",
    "AllowLists",
    "Caller",
    "Gate",
    "Guesses",
    "Identify",
    "IdentifyGate",
    "IssuedToken",
    "KeyGate",
    "OpenGate",
    "Proxies",
    "Terms",
    "UntilKeyedGate",
    "check_own_page",
    "is_loopback",
    "is_loopback_origin",
    "owner_name",
]
