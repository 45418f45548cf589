"""Engines that answer as a scenario tells them to, and remember what they were asked.

They run in threads of the run itself. A `Script` says what to answer whatever the API; `scripted_formats`
says it in the API of the engine. They have no other API, so that clients of any other need translation.
"""

import json
import socket
import struct
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
from scripted_formats import FORMATS

MODEL = "scripted"


@dataclass(frozen=True)
class Script:
    """One answer, told piece by piece when it is streamed."""

    pieces: tuple = ("four",)
    thinking: tuple = ()
    # Names and arguments.
    calls: tuple = ()
    # Tokens and the logarithms of their probabilities.
    logprobs: tuple = ()
    reason: str = "stop"
    prompt_tokens: int = 11
    tokens: int = 7
    # A refusal instead: a status that is no 200, and the words.
    status: int = 200
    error: str = ""
    # How a stream breaks behind its pieces: by a "reset", by an "error" in the stream (of the words above),
    # or by an "end" that nothing announces.
    breaks: str = ""

    @property
    def text(self):
        """The text of the answer."""
        return "".join(self.pieces)


class ScriptedEngine:
    """A server of one API, with the backend `identifier` as its name in the node."""

    def __init__(self, identifier, api_format):
        self.identifier = identifier
        self.api_format = FORMATS[api_format]
        self._script = Script()
        self._asked = []
        handler = type("BoundHandler", (Handler,), {"engine": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def backend(self):
        """The node's settings for this engine."""
        address = httpx.URL(self.url)
        return {
            "Identifier": self.identifier,
            "Name": self.identifier,
            "Hostname": address.host,
            "Port": address.port,
            "Ssl": False,
            "ApiFormat": self.api_format.NAME,
            "HealthCheckMethod": "GET",
            "HealthCheckUrl": self.api_format.HEALTH_PATH,
        }

    def says(self, **script):
        """Makes this the answer from now on, returns it, and forgets what was asked before."""
        self._asked.clear()
        self._script = Script(**script)
        return self._script

    def asked(self):
        """The body of the last request for which the engine had an answer."""
        return self._asked[-1]

    def answer(self, path, body):
        """Notes the request, and says what to answer: a status with its body, or a script to stream."""
        if path not in self.api_format.PATHS:
            return 404, self.api_format.NO_SUCH_PATH
        if body["model"].removesuffix(":latest") != MODEL:
            return 404, self.api_format.error(404, f"model '{body['model']}' not found")
        self._asked.append(body)
        script = self._script
        if script.status != 200:
            return script.status, self.api_format.error(script.status, script.error)
        if body.get("stream", self.api_format.STREAMS_UNASKED):
            return 200, script
        return 200, self.api_format.whole(path, body, script)


class Handler(BaseHTTPRequestHandler):
    """Answers one request after the other on a connection."""

    protocol_version = "HTTP/1.1"
    # Else the kernel keeps small frames back, and a reset would take them with it.
    disable_nagle_algorithm = True
    engine = None

    def do_GET(self):
        """Health, version and models."""
        api_format = self.engine.api_format
        found = api_format.lists(MODEL).get(self.path)
        if found is None:
            self._answer(404, api_format.NO_SUCH_PATH)
        else:
            self._answer(200, found)

    do_HEAD = do_GET

    def do_POST(self):
        """Everything that is scripted."""
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        status, answer = self.engine.answer(self.path, body)
        if isinstance(answer, Script):
            self._stream(self.engine.api_format, body, answer)
        else:
            self._answer(status, answer)

    def log_message(self, *_):
        """Requests are not logged."""

    def _answer(self, status, value):
        plain = isinstance(value, str)
        content = value.encode() if plain else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if plain else "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _stream(self, api_format, body, script):
        self.send_response(200)
        self.send_header("Content-Type", api_format.STREAM_TYPE)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for frame in api_format.frames(self.path, body, script):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(frame), frame))
        if script.breaks == "reset":
            self._reset()
        else:
            self.wfile.write(b"0\r\n\r\n")

    def _reset(self):
        """Ends the connection as a crash would: at once, with a reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()
        self.connection.close()
        self.close_connection = True
