"""Client load: threads that each send one request after another through the VIP, as clients with one retry do.

A request fails when it and its one retry both do not end with a whole and correct answer. The retry comes after a
tenth of a second; the client libraries of OpenAI and others wait longer. At once, it may meet the very process that is
just dying, while the kernel still takes connections for it.
"""

import threading
import time
from dataclasses import dataclass, field

from http_calls import CallFailed, Caller
from waiting import Failure, expect, wait_until

THREADS = 8
# Longer than any generation of the simulated backends, which take half a second.
REQUEST_LIMIT_S = 20
PROMPT = {"model": "llama3.2", "prompt": "why is the sky blue?"}
CHAT = {"model": "llama3.2", "messages": [{"role": "user", "content": "why is the sky blue?"}]}
EXAMPLES_KEPT = 5
RETRY_PAUSE_S = 0.1
PAUSE_AFTER_FAILURE_S = 0.5


def _ollama_stream(body):
    return body.rstrip().rsplit(b"\n", 1)[-1].startswith(b"{") and b'"done":true' in body.replace(b" ", b"")


def _ollama_whole(body):
    return b'"done":true' in body.replace(b" ", b"")


def _openai_stream(body):
    return body.rstrip().endswith(b"data: [DONE]")


def _openai_whole(body):
    return b'"finish_reason":"' in body.replace(b" ", b"")


# Path, body, and what the body of a complete answer has.
KINDS = [
    ("/api/generate", {**PROMPT, "stream": True}, _ollama_stream),
    ("/v1/chat/completions", {**CHAT, "stream": True}, _openai_stream),
    ("/api/generate", {**PROMPT, "stream": False}, _ollama_whole),
    ("/v1/chat/completions", {**CHAT, "stream": False}, _openai_whole),
]


@dataclass
class Tally:
    """What became of the requests of one scenario."""

    requests: int = 0
    retried: int = 0
    failed: int = 0
    examples: list = field(default_factory=list)

    def add(self, other):
        """Adds the counts of another one."""
        self.requests += other.requests
        self.retried += other.retried
        self.failed += other.failed
        self.examples = (self.examples + other.examples)[:EXAMPLES_KEPT]

    def __str__(self):
        return f"{self.requests} requests, {self.retried} retried, {self.failed} failed"


class Load:
    """Eight clients at work for as long as the `with` block runs.

    Half of them keep their connection, half open one for each request; each of the four kinds of request is sent by
    both halves.
    """

    def __init__(self, address, total):
        self.tally = Tally()
        self._address = address
        self._total = total
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(place,), daemon=True) for place in range(THREADS)]

    def wait_for(self, count):
        """Waits until `count` more requests have ended."""
        goal = self.tally.requests + count
        wait_until(lambda: self.tally.requests >= goal, f"{count} more client requests")

    def expect_no_failure(self):
        """Fails when a request failed in spite of its retry."""
        expect(self.tally.failed == 0, f"client requests failed: {self.tally}\n  " + "\n  ".join(self.tally.examples))

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        self.wait_for(2 * THREADS)
        return self

    def __exit__(self, kind, _value, _traceback):
        self._stopping.set()
        for thread in self._threads:
            thread.join(2 * REQUEST_LIMIT_S + 5)
        self._total.add(self.tally)
        print(f"     load: {self.tally}", flush=True)
        if kind is None:
            if any(thread.is_alive() for thread in self._threads):
                raise Failure("a client request did not end")
            self.expect_no_failure()

    def _run(self, place):
        kind = KINDS[place % len(KINDS)]
        keeps = place >= THREADS // 2
        caller = Caller(*self._address, REQUEST_LIMIT_S)
        while not self._stopping.is_set():
            first = _attempt(caller, kind, keeps)
            second = None
            if first is not None:
                caller.close()
                time.sleep(RETRY_PAUSE_S)
                second = _attempt(caller, kind, keeps)
            self._count(kind[0], first, second)
            if second is not None:
                # Nobody is there: no reason to ask thousands of times.
                self._stopping.wait(PAUSE_AFTER_FAILURE_S)
        caller.close()

    def _count(self, path, first, second):
        with self._lock:
            self.tally.requests += 1
            self.tally.retried += first is not None
            self.tally.failed += second is not None
            if first is not None and len(self.tally.examples) < EXAMPLES_KEPT:
                outcome = "and the retry ended well" if second is None else f"and the retry: {second}"
                self.tally.examples.append(f"{time.strftime('%T')} {path}: {first}, {outcome}")


def _attempt(caller, kind, keeps):
    """None when the request ended well, and otherwise what went wrong."""
    path, body, complete = kind
    try:
        answer = caller.call("POST", path, body, None if keeps else {"Connection": "close"})
    except CallFailed as failure:
        return str(failure)
    if not keeps:
        caller.close()
    if answer.status != 200:
        return f"status {answer.status}: {answer.body[:120]!r}"
    if not complete(answer.body):
        return f"incomplete: ...{answer.body[-120:]!r}"
    return None
