"""Waiting for conditions, and figures of what was measured."""

import math
import time

# For whatever a healthy cluster does within two seconds, on a machine that is busy with something else.
LIMIT_S = 30
PAUSE_S = 0.02


class Failure(AssertionError):
    """A check that did not hold."""


def expect(condition, otherwise):
    """Fails with the message `otherwise` unless `condition` holds."""
    if not condition:
        raise Failure(otherwise)


def wait_until(probe, what, limit_s=LIMIT_S, pause_s=PAUSE_S):
    """Calls `probe()` until it returns a true value, and returns that; fails after `limit_s` without one.

    A false value, or a Failure that `probe` raises, is a reason to go on; the last one is in the message.
    """
    deadline = time.monotonic() + limit_s
    while True:
        reason = ""
        try:
            value = probe()
            if value:
                return value
        except Failure as failure:
            reason = f" (last: {failure})"
        if time.monotonic() > deadline:
            raise Failure(f"waited {limit_s} s in vain for {what}{reason}")
        time.sleep(pause_s)


def percentile(values, share):
    """The value that `share` (0 to 1) of `values` do not exceed; NaN without values."""
    ordered = sorted(values)
    if not ordered:
        return math.nan
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]


def spread(values_s):
    """Median, 99th percentile and largest of durations in seconds, as text in milliseconds."""
    if not values_s:
        return "none"
    figures = (percentile(values_s, 0.5), percentile(values_s, 0.99), max(values_s))
    p50, p99, most = (f"{figure * 1000:.1f}" for figure in figures)
    return f"p50 {p50} ms, p99 {p99} ms, max {most} ms ({len(values_s)} samples)"
