"""What Redis does in one step. Each script touches the keys of one stream alone, which share a hash tag."""

from __future__ import annotations

import hashlib
from typing import Final


class Script:
    """A script and the name that Redis knows it by once it was loaded."""

    def __init__(self, text: str) -> None:
        self.text = text.encode()
        self.sha = hashlib.sha1(self.text, usedforsecurity=False).hexdigest().encode()


CREATE: Final = Script("""-- Begin a log, unless it is there: then the id of its last record.
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if last then return last[1] end
redis.call('XADD', KEYS[1], '1-0', 'h', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
""")

APPEND: Final = Script("""-- Add a run behind the record that its writer holds to be the last, and tell the readers.
-- Where another is the last, nothing is added and nobody told: its id; '' where there is no log.
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if not last then return '' end
if last[1] ~= ARGV[3] then return last[1] end
redis.call('XADD', KEYS[1], ARGV[4], 'r', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PUBLISH', ARGV[1], ARGV[5])
return 1
""")

TAKE_OVER: Final = Script("""-- Begin a new epoch, which shuts the old writer out, and seal the log in it.
-- Where another record is the last than the one that was read, nothing is done: its id; '' where there is no log.
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if not last then return '' end
if last[1] ~= ARGV[3] then return last[1] end
redis.call('XADD', KEYS[1], '2-0', 'w', ARGV[4])
redis.call('XADD', KEYS[1], '2-18446744073709551615', 'r', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PUBLISH', ARGV[1], ARGV[5])
return 1
""")

ALL: Final = (CREATE, APPEND, TAKE_OVER)
DONE: Final = 1
"""What each script answers when it did what it is for."""
