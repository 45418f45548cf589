"""Streams that break in the middle reach every client as its SDK's exception, before engines of both kinds.

First a scripted engine breaks each stream by itself, in three ways; in the end real engines are killed, each
below streams of all clients at once.
"""

import itertools
from dataclasses import dataclass
from functools import partial

import anthropic
import crossed
import ollama
import openai
from crossed import ENDLESS
from samples import MESSAGES, PROMPT
from scenarios import Suite, expect, expect_equal, expect_error
from scripted import MODEL as SCRIPTED

SUITE = Suite("broken-streams")

# More than the engines live to tell.
MANY_TOKENS = 100_000
WORDS = "model runner has unexpectedly stopped"


class Stage:
    """The engines and the node; each scenario makes its own clients."""

    def __init__(self, run):
        self.direct = run.direct
        self.crossing = crossed.of(run)

    def scripted(self, kind):
        """The frontend before the scripted engine of this API, and the engine."""
        if kind == "OpenAI":
            return crossed.SCRIPTED_OPENAI, self.crossing.scripted_openai
        return crossed.SCRIPTED_OLLAMA, self.crossing.scripted_ollama

    def open(self, client, hostname, model):
        """Opens a stream of this client at a frontend: an iterator of its pieces of text."""
        return client.open(model, *self.crossing.way(hostname, instead=None))


class ResponseFailed(Exception):
    """What stands for the event by which the SDK tells that a response has failed: it raises nothing."""


@dataclass(frozen=True)
class Client:
    """A kind of request with a client: `open(model, url, headers)` gives its pieces of text, and ends in an
    exception of one of the kinds `error` when the stream breaks."""

    name: str
    error: type | tuple
    open: object


def ollama_chat(model, url, headers):
    client = ollama.Client(host=url, headers=headers, timeout=30)
    return (line.message.content for line in client.chat(model, MESSAGES, stream=True))


def ollama_generate(model, url, headers):
    client = ollama.Client(host=url, headers=headers, timeout=30)
    return (line.response for line in client.generate(model, PROMPT, stream=True))


def openai_client(url, headers):
    options = {"api_key": "sk-acceptance", "max_retries": 0, "timeout": 30, "default_headers": headers}
    return openai.OpenAI(base_url=f"{url}/v1", **options)


def openai_chat(model, url, headers):
    request = {"model": model, "messages": MESSAGES, "stream": True}
    chunks = openai_client(url, headers).chat.completions.create(**request)
    return (choice.delta.content for chunk in chunks for choice in chunk.choices)


def openai_completion(model, url, headers):
    request = {"model": model, "prompt": PROMPT, "max_tokens": MANY_TOKENS, "stream": True}
    chunks = openai_client(url, headers).completions.create(**request)
    return (choice.text for chunk in chunks for choice in chunk.choices)


def openai_response(model, url, headers):
    for event in openai_client(url, headers).responses.create(model=model, input=PROMPT, stream=True):
        if event.type == "response.failed":
            raise ResponseFailed(event.response.error.message)
        if event.type == "response.output_text.delta":
            yield event.delta


def anthropic_message(model, url, headers):
    options = {"api_key": "sk-acceptance", "max_retries": 0, "timeout": 30, "default_headers": headers}
    client = anthropic.Anthropic(base_url=url, **options)
    request = {"model": model, "messages": MESSAGES, "max_tokens": MANY_TOKENS}
    with client.messages.stream(**request) as stream:
        yield from stream.text_stream


CLIENTS = (
    Client("an ollama chat", ollama.ResponseError, ollama_chat),
    Client("an ollama generation", ollama.ResponseError, ollama_generate),
    Client("an openai chat", openai.APIError, openai_chat),
    Client("an openai completion", openai.APIError, openai_completion),
    # A stream of the Responses API that the node has not written itself ends in an error like a chat's.
    Client("an openai response", (ResponseFailed, openai.APIError), openai_response),
    Client("an anthropic message", anthropic.APIStatusError, anthropic_message),
)


def break_scripted(client, kind, breaks, stage):
    """Lets the scripted engine break a stream of the client, which must raise; returns what it raises."""
    hostname, engine = stage.scripted(kind)
    engine.says(pieces=("one", "two", "three"), breaks=breaks, error=WORDS)
    stream = stage.open(client, hostname, SCRIPTED)
    expect_equal("".join(itertools.islice(filter(None, stream), 3)), "onetwothree", "text before the end")
    return expect_error(client.error, lambda: list(stream))


def resets(client, kind, stage):
    break_scripted(client, kind, "reset", stage)


def tells_error(client, kind, stage):
    error = break_scripted(client, kind, "error", stage)
    expect(WORDS in str(error), f"the engine's words are lost: {error}")


def just_ends(client, kind, stage):
    break_scripted(client, kind, "end", stage)


@SUITE.scenario("the node finds its backends healthy", needs_node=True)
def healthy(stage):
    stage.crossing.node.wait_healthy()


for what, act in (
    ("a reset", resets),
    ("an error line", tells_error),
    ("an end without an end marker", just_ends),
):
    for kind, client in itertools.product(("OpenAI", "Ollama"), CLIENTS):
        SUITE.scenario(f"{what} of an {kind} engine is raised by {client.name}", needs_node=True)(
            partial(act, client, kind)
        )


def kill_below_all(stage, hostname, child):
    """Kills a process in the middle of one stream of each client; every stream must raise."""
    streams = {client: filter(None, stage.open(client, hostname, ENDLESS)) for client in CLIENTS}
    for client, stream in streams.items():
        expect_equal(len(list(itertools.islice(stream, 3))), 3, f"pieces of {client.name} before the death")
    child.kill()
    for client, stream in streams.items():
        expect_error(client.error, lambda of=stream: len(list(of)))


@SUITE.scenario("the death of a server of Ollama's API is raised by every client", needs_node=True)
def ollama_dies(stage):
    kill_below_all(stage, crossed.DYING_OLLAMA, stage.crossing.dying_ollama.child)


@SUITE.scenario(
    "the death of the engine below a server of Ollama's API is raised by every client", needs_node=True
)
def engine_below_ollama_dies(stage):
    kill_below_all(stage, crossed.OLLAMA, stage.crossing.endless_below_ollama.child)


@SUITE.scenario("the death of a llama.cpp server is raised by every client", needs_node=True)
def llama_dies(stage):
    kill_below_all(stage, crossed.LLAMA, stage.crossing.llamas[ENDLESS].child)
