"""Engines of both kinds, and a node with frontends at which each client meets engines of the other kind.

Real ones: llama.cpp servers, one for each model, and a server of Ollama's API over all of them. Scripted ones
for what the real ones cannot do. All suites of crossed clients share them.
"""

import functools

import engines
import exact_model
import node
from scripted import ScriptedEngine

# The models that the real engines serve.
EXACT, ENDLESS, CALLING, SMALL, EMBEDDING = "exact", "endless", "calling", "smollm2-135m", "all-minilm"
# What the exact model says, with the leading space of its first token.
EXACT_TEXT = " " + exact_model.SENTENCE

# The hostnames of the frontends, and what is behind them.
LLAMA = "llama.test"
ONE_LLAMA = "one-llama.test"
OLLAMA = "ollama.test"
DYING_OLLAMA = "dying-ollama.test"
SCRIPTED_OPENAI = "scripted-openai.test"
SCRIPTED_OLLAMA = "scripted-ollama.test"

# For all clients at once, each with a context of its own.
FOR_ALL_CLIENTS = ("--parallel", "6", "--context", str(6 * 4096))
# Engines fail on purpose here, and answer many small requests in a row.
UNHINDERED = node.UNLIMITED | {
    "CircuitBreakerErrorPercent": 0,
    "CircuitBreakerConnectFailures": 0,
    "MaxParallelRequests": 6,
}


class Crossing:
    """The engines and the node before them; with `direct`, engines alone, which speak the clients' API."""

    def __init__(self, run):
        self.direct = run.direct
        self.llamas = start_llamas(run)
        self.endless_below_ollama = engines.start_llama(
            run.children,
            "crossed-endless-below-ollama",
            engines.endless_model_in(run.models),
            ENDLESS,
            *FOR_ALL_CLIENTS,
        )
        for engine in (*self.llamas.values(), self.endless_below_ollama):
            engine.wait_ready()
        below = self.llamas | {ENDLESS: self.endless_below_ollama}
        self.ollama = engines.start_ollama(run.children, "crossed-ollama", below)
        self.dying_ollama = engines.start_ollama(run.children, "crossed-dying-ollama", below)
        for engine in (self.ollama, self.dying_ollama):
            engine.wait_ready()
        self.scripted_openai = ScriptedEngine("scripted-openai", "OpenAI")
        self.scripted_ollama = ScriptedEngine("scripted-ollama", "Ollama")
        if not run.direct:
            self.node = self._start_node(run)

    def _start_node(self, run):
        frontends = {
            LLAMA: [*self.llamas.values()],
            ONE_LLAMA: [self.llamas[EXACT]],
            OLLAMA: [self.ollama],
            DYING_OLLAMA: [self.dying_ollama],
            SCRIPTED_OPENAI: [self.scripted_openai],
            SCRIPTED_OLLAMA: [self.scripted_ollama],
        }
        backends = {engine.identifier: engine for members in frontends.values() for engine in members}
        names = {host: [engine.identifier for engine in members] for host, members in frontends.items()}
        return node.start(
            run.children, "node-crossed", run.directory, [*backends.values()], names, **UNHINDERED
        )

    def way(self, hostname, *, instead):
        """The address and the headers that lead a client to this frontend; straight to the engine `instead`,
        which speaks the client's API, when there is no node."""
        return (instead.url, {}) if self.direct else (self.node.url, {"Host": hostname})


@functools.cache
def of(run):
    """The crossing of this run, started when it is first asked for."""
    return Crossing(run)


def start_llamas(run):
    """Starts a llama.cpp server for each model."""
    models = {
        EXACT: (engines.exact_model_in(run.models),),
        ENDLESS: (engines.endless_model_in(run.models), *FOR_ALL_CLIENTS),
        CALLING: (engines.calling_model_in(run.models),),
        SMALL: (engines.small_model(),),
        EMBEDDING: (engines.embedding_model_in(run.models), "--embedding"),
    }
    return {
        name: engines.start_llama(run.children, f"crossed-{name}", path, name, *options)
        for name, (path, *options) in models.items()
    }
