"""The real `ollama` client before engines of OpenAI's API: llama.cpp servers, and a scripted one.

Nothing behind the node speaks the client's API. Tools have a file of their own.
"""

import asyncio
import itertools

import crossed
import exact_model
import httpx
import ollama
from crossed import EMBEDDING, ENDLESS, EXACT, EXACT_TEXT, SMALL
from samples import (
    CAPITAL,
    DESCRIBE_FIRE,
    JPEG,
    MESSAGES,
    MISSING_MODEL,
    PNG,
    PROMPT,
    SCHEMA,
    SENTENCES,
    data_uri,
    expect_meaning,
    expect_of_schema,
    expect_shortened,
    likeness,
)
from scenarios import Suite, expect, expect_equal, expect_error, wait_until
from scripted import MODEL as SCRIPTED

SUITE = Suite("ollama-over-openai")


class Stage:
    """The client before the real engines and before the scripted one."""

    def __init__(self, run):
        self.direct = run.direct
        self.crossing = crossing = crossed.of(run)
        self.url, self.headers = crossing.way(crossed.LLAMA, instead=crossing.ollama)
        # The client hands out no response headers, so its HTTP client notes them.
        self._answers = []
        self.client = self.client_at(self.url, self.headers)
        # A list is that of one engine, whichever answers.
        self.one_engine = self.client_at(*crossing.way(crossed.ONE_LLAMA, instead=crossing.ollama))
        self.scripted = self.client_at(
            *crossing.way(crossed.SCRIPTED_OPENAI, instead=crossing.scripted_ollama)
        )
        self.engine = crossing.scripted_ollama if run.direct else crossing.scripted_openai

    def client_at(self, url, headers):
        """A client before a frontend."""
        hooks = {"response": [self._answers.append]}
        return ollama.Client(host=url, headers=headers, timeout=30, event_hooks=hooks)

    def told(self, header):
        """This header of the last answer."""
        return self._answers[-1].headers.get(header)


def text_of(lines):
    """The text of a streamed chat."""
    return "".join(line.message.content or "" for line in lines)


def expect_whole(answer, reason="stop"):
    """Fails unless the (last) answer tells that the generation is complete and what it cost."""
    expect_equal((answer.done, answer.done_reason), (True, reason), "end of the answer")
    expect(answer.eval_count > 0 and answer.prompt_eval_count > 0, f"no tokens are counted: {answer}")
    expect(answer.total_duration > 0 and answer.created_at, f"no time is told: {answer}")


@SUITE.scenario("the node finds its backends healthy", needs_node=True)
def healthy(stage):
    stage.crossing.node.wait_healthy()


@SUITE.scenario("list names an engine's model")
def list_models(stage):
    models = stage.one_engine.list().models
    names = [model.model.removesuffix(":latest") for model in models]
    expect_equal(names.count(EXACT), 1, f"{EXACT} in {names}")
    for model in models:
        expect_equal(len(model.digest), 64, f"length of the digest of {model.model}")


@SUITE.scenario("show tells of a model, and of none that there is not")
def show(stage):
    shown = stage.one_engine.show(EXACT)
    expect(shown.details is not None, "no details")
    expect(shown.modelinfo is not None, "no model information")
    error = expect_error(ollama.ResponseError, lambda: stage.one_engine.show(MISSING_MODEL))
    expect_equal((error.status_code, error.error), (404, f"model '{MISSING_MODEL}' not found"), "error")


@SUITE.scenario("ps names a model that is in memory")
def ps(stage):
    stage.one_engine.chat(EXACT, MESSAGES)
    names = [model.model.removesuffix(":latest") for model in stage.one_engine.ps().models]
    expect_equal(names.count(EXACT), 1, f"{EXACT} in {names}")


@SUITE.scenario("there is a version and a sign of life")
def version(stage):
    with httpx.Client(base_url=stage.url, headers=stage.headers) as client:
        expect(client.get("/api/version").json()["version"], "no version")
        # What the command line of Ollama asks first.
        expect_equal(client.head("/").status_code, 200, "status of HEAD /")


@SUITE.scenario("a chat gets the engine's words and figures")
def chat(stage):
    answer = stage.client.chat(EXACT, MESSAGES)
    expect_equal((answer.message.role, answer.message.content), ("assistant", EXACT_TEXT), "message")
    expect_equal(answer.model, EXACT, "model")
    expect_whole(answer)


@SUITE.scenario("a streamed chat comes word by word and ends with done")
def streamed_chat(stage):
    lines = list(stage.client.chat(EXACT, MESSAGES, stream=True))
    words = [line.message.content for line in lines if line.message.content]
    expect_equal(words, list(exact_model.EXACT.pieces), "words")
    expect_equal([line.done for line in lines], [False] * (len(lines) - 1) + [True], "done")
    expect_whole(lines[-1])


@SUITE.scenario("a real model holds a conversation")
def real_chat(stage):
    messages = [
        {"role": "system", "content": "You answer with one word."},
        {"role": "user", "content": CAPITAL},
    ]
    answer = stage.client.chat(SMALL, messages, options={"temperature": 0, "num_predict": 40})
    expect("Paris" in answer.message.content, f"got {answer.message.content!r}")


@SUITE.scenario("generate, whole and streamed, gets the engine's words")
def generate(stage):
    answer = stage.client.generate(EXACT, PROMPT)
    expect_equal(answer.response, EXACT_TEXT, "text")
    expect_whole(answer)
    lines = list(stage.client.generate(EXACT, PROMPT, stream=True))
    expect_equal([line.response for line in lines if line.response], list(exact_model.EXACT.pieces), "words")
    expect_whole(lines[-1])


@SUITE.scenario("a raw prompt goes without a template")
def raw_generate(stage):
    # The exact model goes on behind the last word of its prompt, if nothing stands behind that word.
    answer = stage.client.generate(EXACT, "counts one two", raw=True)
    expect_equal(answer.response, EXACT_TEXT.partition(" two")[2], "text")
    lines = list(stage.client.generate(EXACT, "counts one two", raw=True, stream=True))
    expect_equal("".join(line.response for line in lines), answer.response, "text of the stream")
    expect_whole(lines[-1])


@SUITE.scenario("a prompt with a suffix goes as a completion", needs_node=True)
def suffix(stage):
    stage.engine.says(pieces=("be",))
    answer = stage.scripted.generate(SCRIPTED, "to ", suffix=" or not")
    asked = stage.engine.asked()
    expect_equal((asked["prompt"], asked["suffix"], answer.response), ("to ", " or not", "be"), "completion")


@SUITE.scenario("the number of tokens can be limited")
def limited(stage):
    answer = stage.client.chat(EXACT, MESSAGES, options={"num_predict": 3})
    expect_equal((answer.message.content, answer.eval_count), (" the quick brown", 3), "text and tokens")
    expect_whole(answer, "length")


@SUITE.scenario("a word can stop the answer")
def stop_word(stage):
    answer = stage.client.chat(EXACT, MESSAGES, options={"stop": [" fox"]})
    expect_equal((answer.message.content, answer.done_reason), (" the quick brown", "stop"), "answer")


@SUITE.scenario("a schema makes a real model answer in its form")
def structured_output(stage):
    options = {"temperature": 0, "num_predict": 60}
    whole = stage.client.chat(SMALL, DESCRIBE_FIRE, format=SCHEMA, options=options)
    expect_of_schema(whole.message.content)
    expect_of_schema(
        text_of(stage.client.chat(SMALL, DESCRIBE_FIRE, format=SCHEMA, options=options, stream=True))
    )
    options["num_predict"] = 10
    generated = stage.client.generate(SMALL, "Describe fire in JSON.", format="json", options=options)
    expect(generated.response.lstrip().startswith("{"), f"no JSON object: {generated.response!r}")


@SUITE.scenario("images reach the engine as parts with their media types", needs_node=True)
def images(stage):
    def part(media_type, image):
        return {"type": "image_url", "image_url": {"url": data_uri(media_type, image)}}

    stage.engine.says()
    message = {"role": "user", "content": "What is this?", "images": [PNG, JPEG]}
    expect_equal(stage.scripted.chat(SCRIPTED, [message]).message.content, "four", "answer")
    expected = [{"type": "text", "text": "What is this?"}, part("image/png", PNG), part("image/jpeg", JPEG)]
    expect_equal(stage.engine.asked()["messages"][0]["content"], expected, "parts of the chat")
    stage.scripted.generate(SCRIPTED, "What is this?", images=[PNG])
    expect_equal(stage.engine.asked()["messages"][0]["content"], expected[:2], "parts of the generation")


@SUITE.scenario("thoughts come as thinking")
def thinking(stage):
    stage.engine.says(thinking=("let me ", "see"), pieces=("four", "teen"))
    message = stage.scripted.chat(SCRIPTED, MESSAGES, think=True).message
    expect_equal((message.thinking, message.content), ("let me see", "fourteen"), "message")
    lines = list(stage.scripted.chat(SCRIPTED, MESSAGES, think=True, stream=True))
    expect_equal("".join(line.message.thinking or "" for line in lines), "let me see", "streamed thoughts")
    expect_equal(text_of(lines), "fourteen", "text of the stream")
    answer = stage.scripted.generate(SCRIPTED, PROMPT, think=True)
    expect_equal((answer.thinking, answer.response), ("let me see", "fourteen"), "generation")


@SUITE.scenario("how much to think reaches the engine as its effort", needs_node=True)
def effort(stage):
    for think, expected in ((False, "none"), ("low", "low"), ("high", "high"), (True, None)):
        stage.engine.says()
        stage.scripted.chat(SCRIPTED, MESSAGES, think=think)
        expect_equal(stage.engine.asked().get("reasoning_effort"), expected, f"effort of think={think!r}")


@SUITE.scenario("log probabilities of a real engine arrive")
def logprobs(stage):
    options = {"num_predict": 2}
    answer = stage.client.chat(EXACT, MESSAGES, logprobs=True, top_logprobs=2, options=options)
    expect_equal([one.token for one in answer.logprobs], [" the", " quick"], "tokens")
    expect(
        all(one.logprob <= 0 and len(one.top_logprobs) == 2 for one in answer.logprobs), f"{answer.logprobs}"
    )


@SUITE.scenario("what the engine has no word for is left out and named", needs_node=True)
def dropped(stage):
    stage.engine.says()
    options = {"num_ctx": 4096, "top_k": 3, "seed": 7, "temperature": 0.5}
    stage.scripted.chat(SCRIPTED, MESSAGES, keep_alive="10m", options=options)
    asked = stage.engine.asked()
    expect_equal((asked["seed"], asked["temperature"]), (7, 0.5), "options that the engine knows")
    expect(not {"options", "num_ctx", "top_k", "keep_alive"} & set(asked), f"asked {asked}")
    names = set((stage.told("x-ollamaflow-dropped") or "").split(", "))
    expect_equal(names, {"keep_alive", "options.num_ctx", "options.top_k"}, "names of what was left out")
    expect_equal(
        stage.told("x-ollamaflow-translation"), "/api/chat to /v1/chat/completions; api", "the way it went"
    )


@SUITE.scenario("embed gives real vectors of length one")
def embed(stage):
    answer = stage.client.embed(EMBEDDING, SENTENCES)
    expect_meaning(answer.embeddings)
    expect(answer.prompt_eval_count > 0, "no tokens are counted")
    (alone,) = stage.client.embed(EMBEDDING, SENTENCES[0]).embeddings
    expect(likeness(alone, answer.embeddings[0]) > 0.999, "the same text has another vector")
    expect_shortened(
        answer.embeddings[0], stage.client.embed(EMBEDDING, SENTENCES[0], dimensions=64).embeddings[0]
    )


@SUITE.scenario("embeddings gives one vector")
def embeddings(stage):
    (expected,) = stage.client.embed(EMBEDDING, SENTENCES[0]).embeddings
    vector = stage.client.embeddings(EMBEDDING, SENTENCES[0]).embedding
    expect(likeness(vector, expected) > 0.999, "another vector than that of embed")


@SUITE.scenario("a model is loaded and unloaded")
def load_and_unload(stage):
    for answer, reason in (
        (stage.client.generate(EXACT), "load"),
        (stage.client.generate(EXACT, keep_alive=0), "unload"),
        (stage.client.chat(EXACT, []), "load"),
        (stage.client.chat(EXACT, [], keep_alive=0), "unload"),
    ):
        expect_equal((answer.done, answer.done_reason), (True, reason), "end of the answer")


@SUITE.scenario("an unknown model is a ResponseError of 404 that names it")
def unknown_model(stage):
    # llama.cpp takes any name; the scripted engine does not.
    calls = {
        "chat": lambda: stage.scripted.chat(MISSING_MODEL, MESSAGES),
        "streamed chat": lambda: list(stage.scripted.chat(MISSING_MODEL, MESSAGES, stream=True)),
        "generate": lambda: stage.scripted.generate(MISSING_MODEL, PROMPT),
        "raw generate": lambda: stage.scripted.generate(MISSING_MODEL, PROMPT, raw=True),
    }
    for what, call in calls.items():
        error = expect_error(ollama.ResponseError, call)
        expect_equal(error.status_code, 404, f"status of {what}")
        expect(MISSING_MODEL in error.error, f"{what} does not name the model: {error.error}")


@SUITE.scenario("a bad option is a ResponseError that names it, and the engine is not asked", needs_node=True)
def bad_option(stage):
    for options, name in (({"temperature": "hot"}, "temperature"), ({"stop": 5}, "stop")):
        stage.engine.says()
        error = expect_error(
            ollama.ResponseError, lambda wrong=options: stage.scripted.chat(SCRIPTED, MESSAGES, options=wrong)
        )
        expect(error.status_code in (400, 500), f"status {error.status_code}")
        expect(name in error.error, f"the option is not named: {error.error}")
        expect_error(IndexError, stage.engine.asked)
    error = expect_error(
        ollama.ResponseError, lambda: stage.scripted.chat(SCRIPTED, MESSAGES, keep_alive="300")
    )
    expect_equal(error.status_code, 400, "status of a bad keep_alive")
    expect("keep_alive" in error.error, f"the field is not named: {error.error}")


@SUITE.scenario("an engine's refusal is a ResponseError of its status and words")
def refusals(stage):
    for status, words in ((400, "the prompt is too long"), (500, "out of memory"), (503, "server busy")):
        stage.engine.says(status=status, error=words)
        for call in (
            lambda: stage.scripted.chat(SCRIPTED, MESSAGES),
            lambda: list(stage.scripted.generate(SCRIPTED, PROMPT, stream=True)),
        ):
            error = expect_error(ollama.ResponseError, call)
            expect_equal(error.status_code, status, "status")
            expect(words in error.error, f"the words are lost: {error.error}")


@SUITE.scenario("a refusal of the node's own credentials is not the client's fault", needs_node=True)
def refused_credentials(stage):
    stage.engine.says(status=401, error="bad key")
    error = expect_error(ollama.ResponseError, lambda: stage.scripted.chat(SCRIPTED, MESSAGES))
    expect_equal(error.status_code, 502, "status")
    expect(stage.engine.asked(), "the engine was not asked")


@SUITE.scenario("a prompt beyond the context is a ResponseError with the engine's figures")
def too_long_prompt(stage):
    messages = [{"role": "user", "content": "on and on " * 2000}]
    error = expect_error(ollama.ResponseError, lambda: stage.client.chat(SMALL, messages))
    expect_equal(error.status_code, 400, "status")
    expect("context" in error.error, f"the words are lost: {error.error}")


@SUITE.scenario("the asynchronous client runs four streams at once")
def asynchronous_streams(stage):
    async def run():
        client = ollama.AsyncClient(host=stage.url, headers=stage.headers, timeout=30)

        async def one():
            return [line async for line in await client.chat(EXACT, MESSAGES, stream=True)]

        return await asyncio.gather(*(one() for _ in range(4)))

    for lines in asyncio.run(run()):
        expect_equal(text_of(lines), EXACT_TEXT, "text")


@SUITE.scenario("a client that leaves early stops the generation")
def client_leaves_early(stage):
    engine = stage.crossing.endless_below_ollama if stage.direct else stage.crossing.llamas[ENDLESS]
    stream = stage.client.chat(ENDLESS, MESSAGES, stream=True)
    expect_equal(len(list(itertools.islice(stream, 3))), 3, "lines before leaving")
    expect_equal(engine.busy_slots(), 1, "generations running while the client reads the first lines")
    stream.close()
    wait_until(lambda: engine.busy_slots() == 0, "the engine to stop generating", limit_s=10)
