"""The real `openai` client before Ollama's native API: a server of it over llama.cpp, and a scripted one.

Nothing behind the node speaks the client's API. Tools and the Responses API have files of their own.
"""

import asyncio
import itertools

import crossed
import exact_model
import openai
from crossed import CALLING, EMBEDDING, ENDLESS, EXACT, EXACT_TEXT, SMALL
from pydantic import BaseModel, ConfigDict
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
    coded,
    data_uri,
    expect_meaning,
    expect_of_schema,
    expect_shortened,
    likeness,
)
from scenarios import Suite, expect, expect_equal, expect_error, wait_until
from scripted import MODEL as SCRIPTED

SUITE = Suite("openai-over-ollama")


class Fire(BaseModel):
    """What the SDK makes a schema of."""

    model_config = ConfigDict(extra="forbid")
    warm: bool


class Stage:
    """The client before the real engines and before the scripted one."""

    def __init__(self, run):
        self.direct = run.direct
        self.crossing = crossing = crossed.of(run)
        # One client is enough before a node; an engine has one model.
        self._clients = {
            model: client_of(*crossing.way(crossed.OLLAMA, instead=llama))
            for model, llama in crossing.llamas.items()
        }
        self.scripted = client_of(*crossing.way(crossed.SCRIPTED_OLLAMA, instead=crossing.scripted_openai))
        self.engine = crossing.scripted_openai if run.direct else crossing.scripted_ollama

    def at(self, model):
        """The client where this model is."""
        return self._clients[model]

    def chat(self, model, messages=MESSAGES, **options):
        """A chat with a real engine."""
        return self.at(model).chat.completions.create(model=model, messages=messages, **options)

    def scripted_chat(self, messages=MESSAGES, **options):
        """A chat with the scripted engine."""
        return self.scripted.chat.completions.create(model=SCRIPTED, messages=messages, **options)


def client_of(url, headers, kind=openai.OpenAI):
    """An `openai` client that never retries by itself, so that nothing is hidden from the scenarios."""
    return kind(
        base_url=f"{url}/v1", api_key="sk-acceptance", max_retries=0, timeout=30, default_headers=headers
    )


def text_of(chunks):
    """The text of streamed chat chunks."""
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


@SUITE.scenario("the node finds its backends healthy", needs_node=True)
def healthy(stage):
    stage.crossing.node.wait_healthy()


@SUITE.scenario("models.list names all models, and models.retrieve one", needs_node=True)
def models(stage):
    client = stage.at(EXACT)
    names = sorted(model.id.removesuffix(":latest") for model in client.models.list())
    expect_equal(names, sorted([CALLING, EMBEDDING, ENDLESS, EXACT, f"{SMALL}"]), "models")
    expect_equal(client.models.retrieve(EXACT).id, EXACT, "model")
    error = expect_error(openai.NotFoundError, lambda: client.models.retrieve(MISSING_MODEL))
    expect(MISSING_MODEL in error.message, f"the model is not named: {error.message}")


@SUITE.scenario("a chat gets the engine's words and figures")
def chat(stage):
    answer = stage.chat(EXACT)
    (choice,) = answer.choices
    expect_equal((choice.message.role, choice.message.content), ("assistant", EXACT_TEXT), "message")
    expect_equal((choice.finish_reason, answer.model), ("stop", EXACT), "finish reason and model")
    expect_equal(choice.message.tool_calls, None, "calls")
    usage = answer.usage
    expect(usage.prompt_tokens > 0 and usage.completion_tokens > 20, f"no tokens are counted: {usage}")
    expect_equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens, "tokens in all")


@SUITE.scenario("a streamed chat comes word by word and ends with a finish reason")
def streamed_chat(stage):
    chunks = list(stage.chat(EXACT, stream=True))
    words = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
    expect_equal(words, list(exact_model.EXACT.pieces), "words")
    expect_equal(chunks[0].choices[0].delta.role, "assistant", "role of the first chunk")
    reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices]
    expect_equal(reasons, [None] * (len(reasons) - 1) + ["stop"], "finish reasons")
    expect_equal(len({chunk.id for chunk in chunks}), 1, "ids within the stream")
    expect_equal([chunk.usage for chunk in chunks if chunk.usage], [], "usage that nobody has asked for")


@SUITE.scenario("the SDK puts a streamed chat together")
def accumulated_chat(stage):
    options = {"stream_options": {"include_usage": True}}
    with stage.at(EXACT).chat.completions.stream(model=EXACT, messages=MESSAGES, **options) as stream:
        whole = stream.get_final_completion()
    expect_equal(whole.choices[0].message.content, EXACT_TEXT, "text")
    expect(whole.usage.completion_tokens > 20, f"no tokens are counted: {whole.usage}")


@SUITE.scenario("include_usage puts the usage in the last chunk")
def stream_usage(stage):
    chunks = list(stage.chat(EXACT, max_tokens=3, stream=True, stream_options={"include_usage": True}))
    expect_equal([chunk.usage for chunk in chunks[:-1] if chunk.usage], [], "usage before the last chunk")
    expect_equal(chunks[-1].choices, [], "choices of the last chunk")
    expect_equal(chunks[-1].usage.completion_tokens, 3, "tokens generated")


@SUITE.scenario("a real model holds a conversation")
def real_chat(stage):
    messages = [
        {"role": "developer", "content": "You answer with one word."},
        {"role": "user", "content": [{"type": "text", "text": CAPITAL}]},
    ]
    answer = stage.chat(SMALL, messages, temperature=0, max_completion_tokens=40).choices[0].message.content
    expect("Paris" in answer, f"got {answer!r}")


@SUITE.scenario("a completion, whole and streamed, gets the engine's words")
def completions(stage):
    client = stage.at(EXACT)
    answer = client.completions.create(model=EXACT, prompt=PROMPT, max_tokens=100)
    (choice,) = answer.choices
    # The first word depends on how the engine frames the prompt.
    expect(choice.text.endswith("ten then stops"), f"got {choice.text!r}")
    expect_equal(choice.finish_reason, "stop", "finish reason")
    expect(answer.usage.completion_tokens > 20, f"no tokens are counted: {answer.usage}")
    chunks = list(client.completions.create(model=EXACT, prompt=PROMPT, max_tokens=100, stream=True))
    expect_equal("".join(chunk.choices[0].text for chunk in chunks), choice.text, "text of the stream")
    expect_equal(chunks[-1].choices[0].finish_reason, "stop", "finish reason of the stream")


@SUITE.scenario("the number of tokens can be limited, by either name")
def limited(stage):
    for name in ("max_tokens", "max_completion_tokens"):
        answer = stage.chat(EXACT, **{name: 3})
        expect_equal(answer.choices[0].message.content, " the quick brown", f"text with {name}")
        expect_equal((answer.choices[0].finish_reason, answer.usage.completion_tokens), ("length", 3), name)


@SUITE.scenario("a schema makes a real model answer in its form")
def structured_output(stage):
    options = {"temperature": 0, "max_tokens": 60}
    wanted = {"type": "json_schema", "json_schema": {"name": "fire", "schema": SCHEMA, "strict": True}}
    answer = stage.chat(SMALL, DESCRIBE_FIRE, response_format=wanted, **options)
    expect_of_schema(answer.choices[0].message.content)
    parsed = stage.at(SMALL).chat.completions.parse(
        model=SMALL, messages=DESCRIBE_FIRE, response_format=Fire, **options
    )
    expect(isinstance(parsed.choices[0].message.parsed, Fire), f"got {parsed.choices[0].message}")
    answer = stage.chat(
        SMALL, DESCRIBE_FIRE, response_format={"type": "json_object"}, temperature=0, max_tokens=10
    )
    text = answer.choices[0].message.content
    expect(text.lstrip().startswith("{"), f"no JSON object: {text!r}")


@SUITE.scenario("what is asked reaches the engine as options", needs_node=True)
def options_at_engine(stage):
    stage.engine.says()
    stage.scripted_chat(
        temperature=0.5, top_p=0.25, seed=7, stop=["x", "y"], frequency_penalty=0.5, user="me"
    )
    asked = stage.engine.asked()
    expected = {"temperature": 0.5, "top_p": 0.25, "seed": 7, "stop": ["x", "y"], "frequency_penalty": 0.5}
    expect_equal(asked["options"], expected, "options")
    expect("user" not in asked, f"asked {asked}")
    raw = stage.scripted.chat.completions.with_raw_response.create(
        model=SCRIPTED, messages=MESSAGES, user="me"
    )
    expect_equal(raw.headers.get("x-ollamaflow-dropped"), "user", "names of what was left out")
    expect_equal(
        raw.headers.get("x-ollamaflow-translation"),
        "/v1/chat/completions to /api/chat; api",
        "the way it went",
    )


@SUITE.scenario("images reach the engine as base64", needs_node=True)
def images(stage):
    stage.engine.says()
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": data_uri("image/png", PNG)}},
        {"type": "image_url", "image_url": {"url": data_uri("image/jpeg", JPEG)}},
    ]
    answer = stage.scripted_chat([{"role": "user", "content": parts}])
    expect_equal(answer.choices[0].message.content, "four", "answer")
    (message,) = stage.engine.asked()["messages"]
    expect_equal(
        (message["content"], message["images"]), ("What is this?", [coded(PNG), coded(JPEG)]), "message"
    )


@SUITE.scenario("thoughts come as reasoning", needs_node=True)
def reasoning(stage):
    stage.engine.says(thinking=("let me ", "see"), pieces=("four", "teen"))
    message = stage.scripted_chat(reasoning_effort="high").choices[0].message
    expect_equal((message.reasoning, message.content), ("let me see", "fourteen"), "message")
    expect_equal(stage.engine.asked()["think"], "high", "effort")
    chunks = list(stage.scripted_chat(stream=True))
    thoughts = "".join(getattr(chunk.choices[0].delta, "reasoning", None) or "" for chunk in chunks)
    expect_equal((thoughts, text_of(chunks)), ("let me see", "fourteen"), "stream")


@SUITE.scenario("log probabilities arrive, whole and streamed")
def logprobs(stage):
    options = {"logprobs": True, "top_logprobs": 2, "max_tokens": 2}
    whole = stage.chat(EXACT, **options).choices[0].logprobs.content
    expect_equal([one.token for one in whole], [" the", " quick"], "tokens")
    expect(all(one.logprob <= 0 and len(one.top_logprobs) == 2 for one in whole), f"got {whole}")
    chunks = stage.chat(EXACT, stream=True, **options)
    streamed = [
        one.token
        for chunk in chunks
        for choice in chunk.choices
        if choice.logprobs
        for one in choice.logprobs.content
    ]
    expect_equal(streamed, [" the", " quick"], "tokens of the stream")


@SUITE.scenario("embeddings are the same as base64, which the SDK asks for, and as numbers")
def embeddings(stage):
    client = stage.at(EMBEDDING)
    answer = client.embeddings.create(model=EMBEDDING, input=SENTENCES)
    vectors = [one.embedding for one in answer.data]
    expect_meaning(vectors)
    expect_equal([one.index for one in answer.data], [0, 1, 2], "places")
    expect(answer.usage.prompt_tokens > 0, "no tokens are counted")
    plain = (
        client.embeddings.create(model=EMBEDDING, input=SENTENCES[0], encoding_format="float")
        .data[0]
        .embedding
    )
    expect(likeness(plain, vectors[0]) > 0.999, "as numbers it is another vector")
    short = client.embeddings.create(model=EMBEDDING, input=SENTENCES[0], dimensions=64).data[0].embedding
    if not stage.direct:  # llama.cpp gives all dimensions
        expect_shortened(vectors[0], short)


@SUITE.scenario("an unknown model is a NotFoundError that names it", needs_node=True)
def unknown_model(stage):
    client = stage.at(EXACT)
    request = {"model": MISSING_MODEL, "messages": MESSAGES}
    for what, call in {
        "chat": lambda: client.chat.completions.create(**request),
        "streamed chat": lambda: list(client.chat.completions.create(stream=True, **request)),
        "completion": lambda: client.completions.create(model=MISSING_MODEL, prompt=PROMPT),
        "embedding": lambda: client.embeddings.create(model=MISSING_MODEL, input=PROMPT),
        "response": lambda: client.responses.create(model=MISSING_MODEL, input=PROMPT),
    }.items():
        error = expect_error(openai.NotFoundError, call)
        expect(MISSING_MODEL in error.message, f"{what} does not name the model: {error.message}")


@SUITE.scenario("what cannot be said to the engine is a BadRequestError that names it", needs_node=True)
def unspeakable(stage):
    far_image = {"type": "image_url", "image_url": {"url": "http://127.0.0.1:9/x.png"}}
    for name, call in {
        "n": lambda: stage.scripted_chat(n=2),
        "messages": lambda: stage.scripted_chat([]),
        "messages[0]": lambda: stage.scripted_chat([{"role": "user", "content": [far_image]}]),
    }.items():
        stage.engine.says()
        error = expect_error(openai.BadRequestError, call)
        expect((error.param or "").startswith(name), f"{name} is not named: {error.body}")
        expect_equal(error.type, "invalid_request_error", "type of the error")
        expect_error(IndexError, stage.engine.asked)


@SUITE.scenario("a bad body is a BadRequestError", needs_node=True)
def bad_body(stage):
    for body in ({"model": SCRIPTED, "messages": "not a list"}, {"model": SCRIPTED, "messages": [5]}):
        expect_error(
            openai.BadRequestError,
            lambda wrong=body: stage.scripted.post("/chat/completions", cast_to=object, body=wrong),
        )


@SUITE.scenario("an engine's refusal is the exception of its status, with its words")
def refusals(stage):
    for status, kind, words in (
        (400, openai.BadRequestError, "the prompt is too long"),
        (500, openai.InternalServerError, "out of memory"),
        (503, openai.InternalServerError, "server busy"),
    ):
        stage.engine.says(status=status, error=words)
        for call in (stage.scripted_chat, lambda: stage.scripted_chat(stream=True)):
            error = expect_error(kind, call)
            expect_equal(error.status_code, status, "status")
            expect(words in error.message, f"the words are lost: {error.message}")


@SUITE.scenario("the asynchronous client runs four streams at once")
def asynchronous_streams(stage):
    way = stage.crossing.way(crossed.OLLAMA, instead=stage.crossing.llamas[EXACT])

    async def run():
        async with client_of(*way, openai.AsyncOpenAI) as client:

            async def one():
                stream = await client.chat.completions.create(model=EXACT, messages=MESSAGES, stream=True)
                return [chunk async for chunk in stream]

            return await asyncio.gather(*(one() for _ in range(4)))

    for chunks in asyncio.run(run()):
        expect_equal(text_of(chunks), EXACT_TEXT, "text")


@SUITE.scenario("a client that leaves early stops the generation")
def client_leaves_early(stage):
    engine = stage.crossing.llamas[ENDLESS] if stage.direct else stage.crossing.endless_below_ollama
    stream = stage.chat(ENDLESS, stream=True)
    expect_equal(len(list(itertools.islice(stream, 3))), 3, "chunks before leaving")
    expect_equal(engine.busy_slots(), 1, "generations running while the client reads the first chunks")
    stream.close()
    wait_until(lambda: engine.busy_slots() == 0, "the engine to stop generating", limit_s=10)
