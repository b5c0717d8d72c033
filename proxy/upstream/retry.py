"""Whether to ask again, and when: exponential back-off with full jitter. Pure."""

from __future__ import annotations

from proxy.config.upstream_settings import UpstreamSettings
from proxy.errors import UpstreamError, UpstreamThrottled


def wait_before(
    attempt: int, error: UpstreamError, settings: UpstreamSettings, *, dice: float
) -> float | None:
    """Seconds to wait before attempt number *attempt* (the second is 2), or None to give up.

    *dice* is uniform in 0..1. A Retry-After is honoured where it is short; a longer one is the
    client's business, which is told so.
    """
    if attempt > settings.attempts or not error.retryable:
        return None
    if isinstance(error, UpstreamThrottled) and error.retry_after is not None:
        return error.retry_after if error.retry_after <= settings.backoff_max else None
    # Full jitter: clients of one outage do not come back in step.
    ceiling = min(settings.backoff_max, settings.backoff * 2.0 ** min(attempt - 2, 30))
    return ceiling * dice
