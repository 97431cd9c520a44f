"""Who may: keys where there are any, else open mode, which lets in this machine alone and nobody's web page."""

from tailrace.web.auth.addresses import Proxies, is_loopback, is_loopback_origin
from tailrace.web.auth.allow_lists import AllowLists
from tailrace.web.auth.callers import ADMIN, APPLICATION, LOCAL, Caller
from tailrace.web.auth.gate import Gate
from tailrace.web.auth.guesses import Guesses
from tailrace.web.auth.identify_gate import Identify, IdentifyGate
from tailrace.web.auth.key_gate import IssuedToken, KeyGate, Terms
from tailrace.web.auth.open_gate import OpenGate, UntilKeyedGate

__all__ = [
    "ADMIN",
    "APPLICATION",
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
    "is_loopback",
    "is_loopback_origin",
]
