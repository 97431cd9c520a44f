"""How much of everything a key may have at once: requests and tokens a minute, and streams at a time.

Requests and tokens flow from buckets that hold a minute's worth and refill continuously. A request reserves an estimate
of its tokens and settles with the truth when its answer has ended, so that a bucket may be in debt for a while.
"""

from tailrace.limits.base import Lease, Limits, OnCheck, Quota
from tailrace.limits.create import create_limits
from tailrace.limits.memory import MemoryLimits

__all__ = ["Lease", "Limits", "MemoryLimits", "OnCheck", "Quota", "create_limits"]
