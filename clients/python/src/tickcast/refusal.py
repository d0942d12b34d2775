"""What an HTTP answer other than the wanted one says. Only the service's own words are final:
something on the way may answer anything, for a while."""

import json

from tickcast.errors import LinkClosed

STATUS_UNAUTHORIZED = 401
RETRIED = frozenset((408, 425, 429))
LATER = 4503


def refusal(status: int, retry_after: str, body: bytes) -> LinkClosed:
    """The end of a connection that never began; `blocked` where not the service spoke."""
    code, error, is_ours = 4000 + status, f"HTTP {status}", False
    try:
        said = json.loads(body)
        code, error, is_ours = int(said["code"]), str(said["error"]), True
    except (ValueError, LookupError, TypeError):
        pass
    if status in RETRIED and code < 4500:
        code = LATER
    if not is_ours and status != STATUS_UNAUTHORIZED and code < 4500:
        code = LATER
    after_s = float(retry_after) if retry_after.isdecimal() else None
    return LinkClosed(code, error, retry_after_s=after_s, blocked=not is_ours)
