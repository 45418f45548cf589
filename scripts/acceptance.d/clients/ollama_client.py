"""The real `ollama` client against two simulated backends of Ollama's format behind a node.

What comes through the node is compared with what the client gets from a backend directly. The client never
retries by itself.
"""

import asyncio
import itertools

import engines
import httpx
import node
import ollama
from scenarios import Suite, expect, expect_equal, expect_error

SUITE = Suite("ollama")

MODEL = "llama3.2:1b"
MISSING_MODEL = "no-such-model:1b"
MESSAGES = [{"role": "user", "content": "Write one sentence about a river."}]
PROMPT = "Write one sentence about a river."


class Stage:
    """The backends, the node before them and the clients; with `direct`, no node but a backend itself."""

    def __init__(self, run):
        self.direct, children = run.direct, run.children
        self.engines = [engines.start_simulator(children, f"simulated-{letter}", MODEL) for letter in "ab"]
        for engine in self.engines:
            engine.wait_ready()
        if run.direct:
            self.base_url = self.engines[0].url
        else:
            frontends = {"*": [engine.identifier for engine in self.engines]}
            self.node = node.start(
                children, "node-ollama", run.directory, self.engines, frontends, **node.UNLIMITED
            )
            self.base_url = self.node.url
        # What a backend says by itself, to compare with.
        self.engine_client = ollama.Client(host=self.engines[0].url, timeout=30)
        # The client hands out no response headers, so its HTTP client notes who answered.
        self._answered = []
        note = {
            "response": [lambda answer: self._answered.append(answer.headers.get("x-ollamaflow-backend"))]
        }
        self.client = ollama.Client(host=self.base_url, timeout=30, event_hooks=note)

    def chat_and_tell_engine(self):
        """Makes one chat and returns the identifier of the backend that answered."""
        expect(self.client.chat(MODEL, MESSAGES).message.content, "the answer has no text")
        return self._answered[-1]


def listed(models):
    """The names in a list of models."""
    return [model.model for model in models]


def expect_whole(answer):
    """Fails unless the (last) answer tells that the generation is complete and what it cost."""
    expect_equal((answer.done, answer.done_reason), (True, "stop"), "end of the answer")
    expect(answer.eval_count > 0, "no tokens are counted")
    expect_equal(answer.model, MODEL, "model")


@SUITE.scenario("the node finds its backends healthy", needs_node=True)
def healthy(stage):
    stage.node.wait_healthy()


@SUITE.scenario("the version is a backend's own")
def version(stage):
    answer = httpx.get(f"{stage.base_url}/api/version")
    expect_equal(answer.status_code, 200, "status")
    expect_equal(answer.json(), httpx.get(f"{stage.engines[0].url}/api/version").json(), "version")


@SUITE.scenario("list names the model once")
def list_models(stage):
    models = stage.client.list().models
    expect_equal(listed(models), [MODEL], "models")
    (direct,) = stage.engine_client.list().models
    expect_equal((models[0].digest, models[0].size), (direct.digest, direct.size), "digest and size")
    expect_equal(models[0].details, direct.details, "details")


@SUITE.scenario("show tells the details")
def show(stage):
    shown, direct = stage.client.show(MODEL), stage.engine_client.show(MODEL)
    expect(shown.details, "no details")
    expect_equal(shown.details, direct.details, "details")
    expect_equal(shown.modelinfo, direct.modelinfo, "model information")
    expect_equal(shown.capabilities, direct.capabilities, "capabilities")


@SUITE.scenario("a chat gets the backend's own words")
def chat(stage):
    answer = stage.client.chat(MODEL, MESSAGES)
    expect(answer.message.content, "the answer has no text")
    expect_equal(answer.message, stage.engine_client.chat(MODEL, MESSAGES).message, "message")
    expect_whole(answer)


@SUITE.scenario("a streamed chat is the same text in many lines and ends with done")
def streamed_chat(stage):
    lines = list(stage.client.chat(MODEL, MESSAGES, stream=True))
    text = "".join(line.message.content or "" for line in lines)
    expect_equal(text, stage.engine_client.chat(MODEL, MESSAGES).message.content, "text of the stream")
    expect(len(lines) > 5, f"only {len(lines)} lines")
    expect_equal([line.done for line in lines], [False] * (len(lines) - 1) + [True], "done")
    expect_whole(lines[-1])


@SUITE.scenario("generate, whole and streamed, gets the backend's own words")
def generate(stage):
    direct = stage.engine_client.generate(MODEL, PROMPT).response
    answer = stage.client.generate(MODEL, PROMPT)
    expect(answer.response, "the answer has no text")
    expect_equal(answer.response, direct, "text")
    expect_whole(answer)
    lines = list(stage.client.generate(MODEL, PROMPT, stream=True))
    expect_equal("".join(line.response or "" for line in lines), direct, "text of the stream")
    expect(len(lines) > 5, f"only {len(lines)} lines")
    expect_whole(lines[-1])


@SUITE.scenario("the number of tokens can be limited")
def limited(stage):
    answer = stage.client.chat(MODEL, MESSAGES, options={"num_predict": 3})
    expect_equal((answer.eval_count, answer.done_reason), (3, "length"), "tokens and end")


@SUITE.scenario("embed gives one vector for each input")
def embed(stage):
    inputs = ["a river", "a mountain"]
    answer = stage.client.embed(MODEL, inputs)
    expect_equal(len(answer.embeddings), len(inputs), "vectors")
    expect_equal(answer.embeddings, stage.engine_client.embed(MODEL, inputs).embeddings, "vectors")
    expect_equal(len(stage.client.embed(MODEL, "a river").embeddings), 1, "vectors for a single input")


@SUITE.scenario("ps names the loaded model once")
def ps(stage):
    stage.client.chat(MODEL, MESSAGES)
    expect_equal(set(listed(stage.client.ps().models)), {MODEL}, "loaded models")


@SUITE.scenario("the asynchronous client runs four streams at once")
def asynchronous_streams(stage):
    async def run():
        client = ollama.AsyncClient(host=stage.base_url, timeout=30)

        async def one():
            return [line async for line in await client.chat(MODEL, MESSAGES, stream=True)]

        return await asyncio.gather(*(one() for _ in range(4)))

    for lines in asyncio.run(run()):
        expect_whole(lines[-1])


@SUITE.scenario("an unknown model is a ResponseError of 404 that names it")
def unknown_model(stage):
    calls = {
        "chat": lambda: stage.client.chat(MISSING_MODEL, MESSAGES),
        "streamed chat": lambda: list(stage.client.chat(MISSING_MODEL, MESSAGES, stream=True)),
        "generate": lambda: stage.client.generate(MISSING_MODEL, PROMPT),
        "embed": lambda: stage.client.embed(MISSING_MODEL, PROMPT),
        "show": lambda: stage.client.show(MISSING_MODEL),
    }
    for what, call in calls.items():
        error = expect_error(ollama.ResponseError, call)
        expect_equal(error.status_code, 404, f"status of {what}")
        expect(MISSING_MODEL in error.error, f"{what} does not name the model: {error.error}")


@SUITE.scenario("the two backends take turns", needs_node=True)
def turns(stage):
    answered = [stage.chat_and_tell_engine() for _ in range(6)]
    expect_equal(set(answered), {engine.identifier for engine in stage.engines}, "backends that answered")
    expect(all(one != next_one for one, next_one in itertools.pairwise(answered)), f"no turns: {answered}")


@SUITE.scenario("with one backend dead every request succeeds on the other", needs_node=True)
def one_backend_dead(stage):
    stage.engines[0].child.kill()
    answered = [stage.chat_and_tell_engine() for _ in range(10)]
    expect_equal(set(answered), {stage.engines[1].identifier}, "backends that answered")
    expect_whole(list(stage.client.chat(MODEL, MESSAGES, stream=True))[-1])
    expect(stage.client.generate(MODEL, PROMPT).response, "generate has no text")
    expect_equal(len(stage.client.embed(MODEL, PROMPT).embeddings), 1, "vectors")
    expect_equal(listed(stage.client.list().models), [MODEL], "models")
