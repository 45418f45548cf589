"""Scenarios and their runner: named checks that run in order, each bounded in time, a PASS or FAIL line each.

A failing scenario never stops the ones after it. A scenario that only makes sense with a node in the path is
registered with `needs_node=True`, and is skipped when the clients talk straight to the engines.
"""

import contextlib
import signal
import time
import traceback
from dataclasses import dataclass, field

SCENARIO_LIMIT_S = 60


@dataclass(frozen=True)
class Scenario:
    """One named check: `run(stage)` returns when all is well and raises otherwise."""

    name: str
    needs_node: bool
    run: object


@dataclass
class Tally:
    """How many scenarios ended which way."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __str__(self):
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"


@dataclass
class Suite:
    """The scenarios of one client, in the order in which they run: those that kill something come last."""

    name: str
    scenarios: list = field(default_factory=list)

    def scenario(self, name, *, needs_node=False):
        """Registers the decorated function as a scenario."""

        def register(run):
            self.scenarios.append(Scenario(name, needs_node, run))
            return run

        return register

    def run(self, stage, tally):
        """Runs every scenario on `stage` and counts the outcomes in `tally`."""
        for scenario in self.scenarios:
            label = f"{self.name}: {scenario.name}"
            if scenario.needs_node and stage.direct:
                tally.skipped += 1
                print(f"SKIP {label}", flush=True)
                continue
            attempt(label, tally, lambda: scenario.run(stage))


def attempt(label, tally, act):
    """Runs `act()`, prints PASS or FAIL under `label` and counts it. Returns its value, None if it failed."""
    started = time.monotonic()
    try:
        with time_limit(SCENARIO_LIMIT_S):
            value = act()
    except Exception:
        tally.failed += 1
        print(f"FAIL {label} ({time.monotonic() - started:.1f} s)", flush=True)
        print("     " + traceback.format_exc().strip().replace("\n", "\n     "), flush=True)
        return None
    tally.passed += 1
    print(f"PASS {label} ({time.monotonic() - started:.1f} s)", flush=True)
    return value


@contextlib.contextmanager
def time_limit(seconds):
    """Raises TimeoutError in the body when it takes longer than `seconds` (main thread only)."""

    def expire(_signal, _frame):
        raise TimeoutError(f"took longer than {seconds} s")

    previous = signal.signal(signal.SIGALRM, expire)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


def expect(condition, otherwise):
    """Fails with the message `otherwise` unless `condition` holds."""
    if not condition:
        raise AssertionError(otherwise)


def expect_equal(actual, expected, what):
    """Fails unless `actual` equals `expected`, and shows both."""
    expect(actual == expected, f"{what}: expected {expected!r}, got {actual!r}")


def expect_error(kinds, call):
    """Calls `call`, which must raise one of `kinds`, and returns what it raised."""
    try:
        outcome = call()
    except kinds as error:
        return error
    raise AssertionError(f"expected {kinds}, got the answer {outcome!r}")


def wait_until(condition, what, limit_s=30):
    """Waits until `condition()` is true and returns its value; fails after `limit_s` seconds without it."""
    deadline = time.monotonic() + limit_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {limit_s} s in vain: {what}")
        time.sleep(0.02)
