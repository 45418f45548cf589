"""The real `openai` client against real llama.cpp servers behind a node.

Two engines serve the same small chat model through the frontend `*`; a third serves the exact model through
the frontend `exact.test`. What comes through the node is compared with what the client gets from an engine
directly.
"""

import asyncio
import itertools

import engines
import exact_model
import httpx
import node
import openai
from scenarios import Suite, expect, expect_equal, expect_error, wait_until

SUITE = Suite("openai")

MODEL = "smollm2-135m"
EXACT_MODEL = "exact"
EXACT_HOST = "exact.test"
# What the exact model says, with the leading space of its first token.
EXACT_TEXT = " " + exact_model.SENTENCE

MESSAGES = [{"role": "user", "content": "Write one sentence about a river."}]
# The same words each time: greedy, and without an earlier request's KV cache, which would change how the
# engine batches its additions.
REPEATABLE = {"temperature": 0, "seed": 7, "max_tokens": 24, "extra_body": {"cache_prompt": False}}
# A generation that takes far longer than the scenario needs, and fits the engine's context.
LONG_TOKENS = 1500
LONG = {"max_tokens": LONG_TOKENS, "extra_body": {"ignore_eos": True}}


class Stage:
    """The engines, the node before them and the clients; with `direct`, no node but engines alone."""

    def __init__(self, run):
        self.direct, children = run.direct, run.children
        small, exact = engines.small_model(), engines.exact_model_in(run.models)
        self.engines = [engines.start_llama(children, f"llama-{letter}", small, MODEL) for letter in "ab"]
        exact_engine = engines.start_llama(children, "llama-exact", exact, EXACT_MODEL)
        for engine in (*self.engines, exact_engine):
            engine.wait_ready()
        # What an engine says by itself, to compare with.
        self.engine_client = client_of(self.engines[0].url)
        if run.direct:
            self.base_url = self.engines[0].url
            self.exact_client = client_of(exact_engine.url)
        else:
            members = [engine.identifier for engine in self.engines]
            frontends = {"*": members, EXACT_HOST: [exact_engine.identifier]}
            self.node = node.start(
                children,
                "node-openai",
                run.directory,
                [*self.engines, exact_engine],
                frontends,
                **node.UNLIMITED,
            )
            self.base_url = self.node.url
            self.exact_client = client_of(self.base_url, default_headers={"Host": EXACT_HOST})
        self.client = client_of(self.base_url)

    def engine_behind(self, answer):
        """The engine that gave this answer, as the node tells it in a header."""
        if self.direct:
            return self.engines[0]
        identifier = answer.headers.get("x-ollamaflow-backend")
        known = {engine.identifier: engine for engine in self.engines}
        expect(identifier in known, f"X-OllamaFlow-Backend is {identifier!r}, not one of {list(known)}")
        return known[identifier]

    def chat_and_tell_engine(self):
        """Makes one short chat and returns the engine that answered."""
        raw = self.client.chat.completions.with_raw_response.create(
            model=MODEL, messages=MESSAGES, max_tokens=2
        )
        expect(raw.parse().choices[0].message.content, "the answer has no text")
        return self.engine_behind(raw)

    def alive(self):
        """The engines of the two that are running."""
        return [engine for engine in self.engines if engine.child.running()]


def client_of(url, **options):
    """An `openai` client that never retries by itself, so that nothing is hidden from the scenarios."""
    return openai.OpenAI(base_url=f"{url}/v1", api_key="sk-acceptance", max_retries=0, timeout=30, **options)


def text_of(chunks):
    """The text of streamed chat chunks."""
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


@SUITE.scenario("the node finds its backends healthy", needs_node=True)
def healthy(stage):
    stage.node.wait_healthy()


@SUITE.scenario("models.list names the model once")
def models_list(stage):
    names = [model.id for model in stage.client.models.list()]
    expect_equal(names.count(MODEL), 1, f"{MODEL} in {names}")


@SUITE.scenario("a chat gets the engine's own words")
def chat(stage):
    answer = stage.client.chat.completions.create(model=MODEL, messages=MESSAGES, **REPEATABLE)
    direct = stage.engine_client.chat.completions.create(model=MODEL, messages=MESSAGES, **REPEATABLE)
    expect(answer.choices[0].message.content, "the answer has no text")
    expect_equal(answer.choices[0].message, direct.choices[0].message, "message")
    expect_equal(answer.choices[0].finish_reason, direct.choices[0].finish_reason, "finish reason")
    expect_equal(answer.usage.completion_tokens, direct.usage.completion_tokens, "tokens generated")
    expect_equal(answer.model, MODEL, "model")


@SUITE.scenario("a streamed chat is the same text in many chunks and ends with a finish reason")
def streamed_chat(stage):
    chunks = list(
        stage.client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True, **REPEATABLE)
    )
    direct = stage.engine_client.chat.completions.create(model=MODEL, messages=MESSAGES, **REPEATABLE)
    expect_equal(text_of(chunks), direct.choices[0].message.content, "text of the stream")
    expect(len(chunks) > 5, f"only {len(chunks)} chunks")
    reasons = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    expect_equal(reasons, [None] * (len(reasons) - 1) + [direct.choices[0].finish_reason], "finish reasons")
    expect_equal(len({chunk.id for chunk in chunks}), 1, "ids within the stream")


@SUITE.scenario("the exact model says its sentence through the frontend of its own host name")
def exact_chat(stage):
    messages = [{"role": "user", "content": "Say it."}]
    choice = stage.exact_client.chat.completions.create(model=EXACT_MODEL, messages=messages).choices[0]
    expect_equal((choice.message.content, choice.finish_reason), (EXACT_TEXT, "stop"), "answer")
    chunks = list(
        stage.exact_client.chat.completions.create(model=EXACT_MODEL, messages=messages, stream=True)
    )
    words = [
        chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content
    ]
    expect_equal(words, [f" {word}" for word in exact_model.SENTENCE.split()], "chunks of the stream")


@SUITE.scenario("a completion, whole and streamed, gets the engine's own words")
def completions(stage):
    request = {"model": MODEL, "prompt": "The river", **REPEATABLE}
    direct = stage.engine_client.completions.create(**request).choices[0]
    choice = stage.client.completions.create(**request).choices[0]
    expect(choice.text, "the completion has no text")
    expect_equal((choice.text, choice.finish_reason), (direct.text, direct.finish_reason), "completion")
    chunks = list(stage.client.completions.create(stream=True, **request))
    expect(len(chunks) > 5, f"only {len(chunks)} chunks")
    expect_equal(
        "".join(chunk.choices[0].text for chunk in chunks if chunk.choices), direct.text, "text of the stream"
    )
    expect_equal(chunks[-1].choices[0].finish_reason, direct.finish_reason, "finish reason of the stream")


@SUITE.scenario("include_usage puts the usage in the last chunk")
def stream_usage(stage):
    options = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = list(
        stage.client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=3, **options)
    )
    expect_equal(
        [chunk.usage for chunk in chunks[:-1]], [None] * (len(chunks) - 1), "usage before the last chunk"
    )
    expect_equal(chunks[-1].choices, [], "choices of the last chunk")
    expect_equal(chunks[-1].usage.completion_tokens, 3, "tokens generated")


@SUITE.scenario("the asynchronous client runs four streams at once")
def asynchronous_streams(stage):
    async def run():
        options = {"api_key": "sk-acceptance", "max_retries": 0, "timeout": 30}
        async with openai.AsyncOpenAI(base_url=f"{stage.base_url}/v1", **options) as client:

            async def one():
                stream = await client.chat.completions.create(
                    model=MODEL, messages=MESSAGES, max_tokens=8, stream=True
                )
                return [chunk async for chunk in stream]

            return await asyncio.gather(*(one() for _ in range(4)))

    for chunks in asyncio.run(run()):
        expect(text_of(chunks), "a stream has no text")
        expect(chunks[-1].choices[0].finish_reason, "a stream has no finish reason")


@SUITE.scenario("an unknown path is a NotFoundError")
def unknown_path(stage):
    expect_error(openai.NotFoundError, lambda: stage.client.get("/no-such-path", cast_to=object))


@SUITE.scenario("a bad request is a BadRequestError with the engine's own message")
def bad_request(stage):
    body = {"model": MODEL, "messages": "not a list"}
    errors = [
        expect_error(
            openai.BadRequestError, lambda: client.post("/chat/completions", cast_to=object, body=body)
        )
        for client in (stage.client, stage.engine_client)
    ]
    expect_equal(errors[0].body, errors[1].body, "error")
    expect("messages" in errors[0].message, f"the message does not name the fault: {errors[0].message}")


@SUITE.scenario("a prompt beyond the context is a BadRequestError with the engine's figures")
def too_long_prompt(stage):
    messages = [{"role": "user", "content": "on and on " * 2000}]
    errors = [
        expect_error(
            openai.BadRequestError, lambda: client.chat.completions.create(model=MODEL, messages=messages)
        )
        for client in (stage.client, stage.engine_client)
    ]
    expect_equal(errors[0].body, errors[1].body, "error")
    expect_equal(errors[0].type, "exceed_context_size_error", "type of the error")


@SUITE.scenario("embeddings of a chat model are the engine's 501")
def embeddings_of_chat_model(stage):
    errors = [
        expect_error(openai.APIStatusError, lambda: client.embeddings.create(model=MODEL, input="a river"))
        for client in (stage.client, stage.engine_client)
    ]
    expect_equal(errors[0].status_code, 501, "status")
    expect_equal(errors[0].body, errors[1].body, "error")


@SUITE.scenario("the two engines take turns", needs_node=True)
def turns(stage):
    answered = [stage.chat_and_tell_engine().identifier for _ in range(6)]
    expect_equal(set(answered), {engine.identifier for engine in stage.engines}, "engines that answered")
    expect(all(one != next_one for one, next_one in itertools.pairwise(answered)), f"no turns: {answered}")


@SUITE.scenario("a client that leaves early stops the generation")
def client_leaves_early(stage):
    stream = stage.client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True, **LONG)
    engine = stage.engine_behind(stream.response)
    generated_before = engine.tokens_generated()
    expect_equal(len(list(itertools.islice(stream, 3))), 3, "chunks before leaving")
    expect_equal(engine.busy_slots(), 1, "generations running while the client reads the first chunks")
    stream.close()
    wait_until(lambda: engine.busy_slots() == 0, "the engine to stop generating", limit_s=10)
    generated = engine.tokens_generated() - generated_before
    expect(generated < LONG_TOKENS, f"the engine went on to the end: {generated} tokens")


@SUITE.scenario("a stream whose engine dies ends in an error", needs_node=True)
def engine_dies_in_stream(stage):
    stream = stage.client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True, **LONG)
    engine = stage.engine_behind(stream.response)
    expect_equal(len(list(itertools.islice(stream, 3))), 3, "chunks before the death")
    engine.child.kill()
    # The client passes a cut connection on as httpx reports it.
    expect_error((openai.APIError, httpx.TransportError), lambda: text_of(stream))


@SUITE.scenario("with one engine dead every request succeeds on the other", needs_node=True)
def one_engine_dead(stage):
    for engine in stage.alive()[1:]:
        engine.child.kill()
    (survivor,) = stage.alive()
    answered = [stage.chat_and_tell_engine().identifier for _ in range(10)]
    expect_equal(set(answered), {survivor.identifier}, "engines that answered")
    chunks = list(
        stage.client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True, max_tokens=8)
    )
    expect(text_of(chunks), "the stream has no text")
    expect_equal(
        [model.id for model in stage.client.models.list()].count(MODEL), 1, f"{MODEL} in the list of models"
    )
