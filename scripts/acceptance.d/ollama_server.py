"""Ollama's native API over llama.cpp servers, as one process.

Texts, calls of tools, schemas and vectors are those of a real engine; their form is Ollama 0.33's, as it was
recorded. It has the native API only, none of Ollama's layers for other APIs, and no registry. Listens on a
loopback port that the OS picks, and writes `listening on URL`.
"""

import argparse
import base64
import hashlib
import json
import math
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
from ollama_engine import ENGINE_GONE, Generation, Refused, engine_request, joined, prompt_of, timestamp

VERSION = "0.33.0"
KEEP_ALIVE_S = 300
CONTEXT = 4096


def canonical(name):
    """A model's name with its tag."""
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


class Models:
    """The models, the engines that run them, and which of them are loaded."""

    def __init__(self, engines):
        self._engines = {canonical(name): url for name, url in engines.items()}
        self._loaded = set()

    def engine(self, name):
        """The address of the engine that runs the model."""
        if not name:
            raise Refused(400, "model is required")
        if canonical(name) not in self._engines:
            raise Refused(404, f"model '{name}' not found")
        return self._engines[canonical(name)]

    def load(self, name):
        """Notes that a model is in use, and so in memory."""
        self._loaded.add(canonical(name))

    def unload(self, name):
        """Notes that a model has left the memory."""
        self._loaded.discard(canonical(name))

    def list(self):
        """The answer of /api/tags."""
        return {"models": [described(name) | {"modified_at": timestamp()} for name in self._engines]}

    def in_memory(self):
        """The answer of /api/ps."""
        more = {"expires_at": timestamp(KEEP_ALIVE_S), "size_vram": 0, "context_length": CONTEXT}
        return {"models": [described(name) | more for name in sorted(self._loaded)]}

    def show(self, name):
        """The answer of /api/show."""
        self.engine(name)
        return {
            "template": "{{ .Prompt }}",
            "details": described(canonical(name))["details"],
            "model_info": {"general.architecture": "llama", "llama.context_length": CONTEXT},
            "capabilities": ["completion", "tools"],
            "modified_at": timestamp(),
        }


def described(name):
    """What every list tells of a model."""
    return {
        "name": name,
        "model": name,
        "size": 5792448,
        "digest": hashlib.sha256(name.encode()).hexdigest(),
        "details": {
            "parent_model": "",
            "format": "gguf",
            "family": "llama",
            "families": ["llama"],
            "parameter_size": "1.45M",
            "quantization_level": "F32",
        },
    }


class Handler(BaseHTTPRequestHandler):
    """Answers one request after the other on a connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    # Set before the server starts.
    models = None
    # To the engines. They end a stream with its connection, so none is kept.
    client = httpx.Client(timeout=60, limits=httpx.Limits(max_keepalive_connections=0))

    def do_GET(self):
        """Liveness, version and lists."""
        answers = {
            "/api/version": lambda: {"version": VERSION},
            "/api/tags": self.models.list,
            "/api/ps": self.models.in_memory,
        }
        if self.path == "/":
            self._answer(200, b"Ollama is running", "text/plain; charset=utf-8")
        elif self.path in answers:
            self._answer_json(200, answers[self.path]())
        else:
            self._answer(404, b"404 page not found", "text/plain")

    do_HEAD = do_GET

    def do_POST(self):
        """Everything that names a model."""
        acts = {
            "/api/show": self._show,
            "/api/chat": lambda body: self._generate(body, is_chat=True),
            "/api/generate": lambda body: self._generate(body, is_chat=False),
            "/api/embed": self._embed,
            "/api/embeddings": self._embed_one,
        }
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path not in acts:
            self._answer(404, b"404 page not found", "text/plain")
            return
        try:
            acts[self.path](json.loads(raw))
        except json.JSONDecodeError as error:
            self._answer_json(400, {"error": str(error)})
        except Refused as error:
            self._answer_json(error.status, {"error": str(error)})
        except ConnectionError:
            # The client has left; leaving the request to the engine has cancelled it.
            self.close_connection = True

    def _show(self, body):
        self._answer_json(200, self.models.show(body.get("model") or body.get("name")))

    def _embed_one(self, body):
        (vector,) = self._vectors(body, body["prompt"])[0]
        self._answer_json(200, {"embedding": vector})

    def _embed(self, body):
        vectors, tokens = self._vectors(body, body["input"])
        if body.get("dimensions"):
            vectors = [of_length_one(vector[: body["dimensions"]]) for vector in vectors]
        told = {"embeddings": vectors, "total_duration": 1, "load_duration": 1, "prompt_eval_count": tokens}
        self._answer_json(200, {"model": body["model"], **told})

    def _vectors(self, body, texts):
        engine = self.models.engine(body.get("model"))
        asked = {"input": texts, "encoding_format": "base64"}
        answer = self.client.post(f"{engine}/v1/embeddings", json=asked)
        if answer.status_code != 200:
            raise Refused(answer.status_code, answer.json()["error"]["message"])
        self.models.load(body["model"])
        found = answer.json()
        vectors = [memoryview(base64.b64decode(one["embedding"])).cast("f").tolist() for one in found["data"]]
        return vectors, found["usage"]["prompt_tokens"]

    def _generate(self, body, *, is_chat):
        started = time.monotonic_ns()
        engine = self.models.engine(body.get("model"))
        generation = Generation(is_chat)
        prompt = prompt_of(body, is_chat)
        if prompt is None:
            unload = body.get("keep_alive") == 0
            (self.models.unload if unload else self.models.load)(body["model"])
            reason = {"done": True, "done_reason": "unload" if unload else "load"}
            self._answer_json(200, generation.object(body["model"], {"content": ""}, **reason))
            return
        self.models.load(body["model"])
        path, asked = prompt
        with self.client.stream("POST", engine + path, json=engine_request(body) | asked) as answer:
            if answer.status_code != 200:
                raise Refused(answer.status_code, json.loads(answer.read())["error"]["message"])
            parts = generation.parts(lines_of(answer))
            if body.get("stream", True):
                self._stream(body["model"], generation, parts, started)
            else:
                self._whole(body["model"], generation, parts, started)

    def _whole(self, model, generation, parts, started):
        part, logprobs = joined(parts)
        if not generation.whole:
            raise Refused(500, ENGINE_GONE)
        self._answer_json(200, generation.object(model, part, logprobs, **generation.figures(started)))

    def _stream(self, model, generation, parts, started):
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for part, logprobs in parts:
            self._line(generation.object(model, part, logprobs))
        if generation.whole:
            self._line(generation.object(model, {"content": ""}, **generation.figures(started)))
        else:
            self._line({"error": ENGINE_GONE})
        self.wfile.write(b"0\r\n\r\n")

    def _line(self, value):
        line = json.dumps(value).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))

    def _answer_json(self, status, value):
        self._answer(status, json.dumps(value).encode(), "application/json; charset=utf-8")

    def _answer(self, status, content, content_type):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def lines_of(answer):
    """The lines of the engine's answer, up to its end or its death."""
    try:
        yield from answer.iter_lines()
    except httpx.TransportError:
        return


def of_length_one(vector):
    """The vector of the same direction and length one."""
    length = math.hypot(*vector)
    return [value / length for value in vector]


def main():
    """Serves until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", metavar="NAME=URL", help="a model, and the engine that runs it")
    engines = dict(one.split("=", 1) for one in parser.parse_args().models)
    Handler.models = Models(engines)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
