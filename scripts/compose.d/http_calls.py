"""One HTTP exchange at a time over the standard library, with every way it can go wrong as one exception."""

import http.client
import json
from dataclasses import dataclass


class CallFailed(Exception):
    """The exchange did not end with a whole answer: refused, cut off, timed out, or no HTTP."""


@dataclass
class Answer:
    """A whole answer."""

    status: int
    headers: object
    body: bytes

    def json(self):
        """The body as JSON; CallFailed when it is none."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise CallFailed(f"no JSON in the answer (status {self.status}): {self.body[:200]!r}") from error


class Caller:
    """A client of one address with one connection that is kept and, when it was lost, made anew."""

    def __init__(self, host, port, timeout_s=10):
        self._connection = http.client.HTTPConnection(host, port, timeout=timeout_s)

    def call(self, method, path, body=None, headers=None):
        """Sends a request (`body` as JSON) and returns the whole answer. Never repeats a request."""
        headers = dict(headers or {})
        payload = None
        if body is not None:
            payload = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        kept = self._connection.sock is not None
        try:
            self._connection.request(method, path, payload, headers)
            response = self._connection.getresponse()
            # A body that ends before its framing says so raises IncompleteRead, an HTTPException.
            answer = Answer(response.status, response.headers, response.read())
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            where = "a kept" if kept else "a new"
            raise CallFailed(f"{type(error).__name__} on {where} connection: {error}") from error
        return answer

    def close(self):
        """Closes the connection; the next call opens another one."""
        self._connection.close()


def call(address, method, path, body=None, headers=None, timeout_s=10):
    """A single request to `address` (host and port) on a connection of its own."""
    caller = Caller(*address, timeout_s)
    try:
        return caller.call(method, path, body, {**(headers or {}), "Connection": "close"})
    finally:
        caller.close()
