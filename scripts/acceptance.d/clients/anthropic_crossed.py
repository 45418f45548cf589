"""The real `anthropic` client before engines of both kinds, of which only llama.cpp's server speaks its API.

Most scenarios are the same before either kind, and run once for each. Before real llama.cpp servers the node
has nothing to translate; before the scripted engine of OpenAI's API it has.
"""

import asyncio
import itertools

import anthropic
import crossed
import exact_model
from crossed import CALLING, ENDLESS, EXACT, EXACT_TEXT, SMALL
from samples import (
    CAPITAL,
    DESCRIBE_FIRE,
    MESSAGES,
    MISSING_MODEL,
    PNG,
    SCHEMA,
    SEVERAL_CALLS,
    WEATHER_CALL,
    WEATHER_PARAMETERS,
    WEATHER_TOOL,
    coded,
    data_uri,
    expect_of_schema,
)
from scenarios import Suite, expect, expect_equal, expect_error, wait_until
from scripted import MODEL as SCRIPTED

OVER_OLLAMA = Suite("anthropic-over-ollama")
OVER_OPENAI = Suite("anthropic-over-openai")

TOOL = {
    "name": exact_model.TOOL,
    "description": "Tells the weather in a city",
    "input_schema": WEATHER_PARAMETERS,
}


def before_both(name, **options):
    """Registers the decorated function as a scenario of both suites."""

    def register(run):
        for suite in (OVER_OLLAMA, OVER_OPENAI):
            suite.scenario(name, **options)(run)
        return run

    return register


class Stage:
    """The client before the real engines and before the scripted one of a kind."""

    def __init__(self, run, hostname, scripted_hostname):
        self.direct = run.direct
        self.crossing = crossing = crossed.of(run)
        self.hostname = hostname
        self._clients = {model: client_of(*self.way(model)) for model in crossing.llamas}
        if not run.direct:
            # Nothing scripted speaks the client's API, so without a node there is nothing to ask.
            self.scripted = client_of(*crossing.way(scripted_hostname, instead=None))

    def way(self, model):
        """What leads a client to this model: without a node to llama.cpp, which speaks the client's API."""
        return self.crossing.way(self.hostname, instead=self.crossing.llamas[model])

    def at(self, model):
        """The client where this model is."""
        return self._clients[model]

    def message(self, model, messages=MESSAGES, max_tokens=100, **options):
        """A message of a real engine."""
        return self.at(model).messages.create(
            model=model, messages=messages, max_tokens=max_tokens, **options
        )

    def scripted_message(self, messages=MESSAGES, max_tokens=100, **options):
        """A message of the scripted engine."""
        return self.scripted.messages.create(
            model=SCRIPTED, messages=messages, max_tokens=max_tokens, **options
        )

    def streamed(self, model, **options):
        """A streamed message of a real engine: its pieces of text, and the whole."""
        return put_together(self.at(model), model, **options)


class StageOverOllama(Stage):
    """Before Ollama's native API."""

    def __init__(self, run):
        super().__init__(run, crossed.OLLAMA, crossed.SCRIPTED_OLLAMA)
        self.engine = self.crossing.scripted_ollama
        # Which of the endless engines the client meets.
        self.endless = self.crossing.llamas[ENDLESS] if run.direct else self.crossing.endless_below_ollama


class StageOverOpenAi(Stage):
    """Before OpenAI's API."""

    def __init__(self, run):
        super().__init__(run, crossed.LLAMA, crossed.SCRIPTED_OPENAI)
        self.engine = self.crossing.scripted_openai
        self.endless = self.crossing.llamas[ENDLESS]


def client_of(url, headers, kind=anthropic.Anthropic):
    """An `anthropic` client that never retries by itself, so that nothing is hidden from the scenarios."""
    return kind(base_url=url, api_key="sk-acceptance", max_retries=0, timeout=30, default_headers=headers)


def put_together(client, model, messages=MESSAGES, max_tokens=100, **options):
    """Streams a message through the SDK's own accumulation: its pieces of text, and the whole."""
    with client.messages.stream(model=model, messages=messages, max_tokens=max_tokens, **options) as stream:
        pieces = list(stream.text_stream)
        return pieces, stream.get_final_message()


def text_of(message):
    """The text of a message that has nothing else."""
    expect_equal([block.type for block in message.content], ["text"], "blocks")
    return message.content[0].text


def calls_of(message):
    """The names and arguments of a message's calls."""
    return [(block.name, block.input) for block in message.content if block.type == "tool_use"]


@before_both("the node finds its backends healthy", needs_node=True)
def healthy(stage):
    stage.crossing.node.wait_healthy()


@before_both("a message gets the engine's words and figures")
def message(stage):
    answer = stage.message(EXACT)
    expect_equal((answer.type, answer.role, text_of(answer)), ("message", "assistant", EXACT_TEXT), "message")
    expect_equal((answer.stop_reason, answer.model), ("end_turn", EXACT), "stop reason and model")
    expect(answer.usage.input_tokens > 0 and answer.usage.output_tokens > 20, f"usage: {answer.usage}")


@before_both("a streamed message comes word by word, in the order of events that the SDK wants")
def streamed_message(stage):
    pieces, whole = stage.streamed(EXACT)
    expect_equal(pieces, list(exact_model.EXACT.pieces), "words")
    expect_equal((text_of(whole), whole.stop_reason), (EXACT_TEXT, "end_turn"), "message put together")
    expect(whole.usage.output_tokens > 20, f"usage: {whole.usage}")
    events = stage.message(EXACT, stream=True)
    kinds = [kind for kind, _ in itertools.groupby(event.type for event in events)]
    expected = ["message_start", "content_block_start", "content_block_delta", "content_block_stop"]
    expect_equal(kinds, [*expected, "message_delta", "message_stop"], "events")


@before_both("a real model heeds the system prompt")
def real_message(stage):
    messages = [{"role": "user", "content": [{"type": "text", "text": CAPITAL}]}]
    options = {
        "system": [{"type": "text", "text": "You answer with one word."}],
        "extra_body": {"temperature": 0},
    }
    answer = stage.message(SMALL, messages, max_tokens=40, **options)
    expect("Paris" in text_of(answer), f"got {answer.content}")


@before_both("a message that is cut at its limit says so")
def limited(stage):
    answer = stage.message(EXACT, max_tokens=3)
    expect_equal((text_of(answer), answer.stop_reason), (" the quick brown", "max_tokens"), "message")
    expect_equal(answer.usage.output_tokens, 3, "tokens generated")


@OVER_OLLAMA.scenario("a schema makes a real model answer in its form", needs_node=True)
def structured_output(stage):
    wanted = {"format": {"type": "json_schema", "schema": SCHEMA}}
    options = {"output_config": wanted, "extra_body": {"temperature": 0}}
    expect_of_schema(text_of(stage.message(SMALL, DESCRIBE_FIRE, max_tokens=60, **options)))


@OVER_OPENAI.scenario("a schema reaches the engine in its form", needs_node=True)
def schema_at_openai(stage):
    stage.engine.says()
    stage.scripted_message(output_config={"format": {"type": "json_schema", "schema": SCHEMA}})
    asked = stage.engine.asked()["response_format"]
    expect_equal((asked["type"], asked["json_schema"]["schema"]), ("json_schema", SCHEMA), "format")


@before_both("a tool is called, and its result is answered")
def tools(stage):
    answer = stage.message(CALLING, tools=[TOOL])
    expect_equal((calls_of(answer), answer.stop_reason), ([WEATHER_CALL], "tool_use"), "call")
    call = next(block for block in answer.content if block.type == "tool_use")
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny, 21 degrees"}
    told = {"type": "tool_use", "id": call.id, "name": call.name, "input": call.input}
    history = [*MESSAGES, {"role": "assistant", "content": [told]}, {"role": "user", "content": [result]}]
    answer = stage.message(CALLING, history, tools=[TOOL])
    expect_equal(text_of(answer).strip(), exact_model.REPLY, "answer to the result")
    expect_equal(answer.stop_reason, "end_turn", "stop reason of the answer")


@before_both("a streamed call is put together by the SDK")
def streamed_tools(stage):
    _, whole = stage.streamed(CALLING, tools=[TOOL])
    expect_equal((calls_of(whole), whole.stop_reason), ([WEATHER_CALL], "tool_use"), "call")


@before_both("text and several calls keep their order, whole and streamed", needs_node=True)
def several_calls(stage):
    stage.engine.says(pieces=("well", "..."), calls=SEVERAL_CALLS)
    _, streamed = put_together(stage.scripted, SCRIPTED, tools=[TOOL])
    for answer in (stage.scripted_message(tools=[TOOL]), streamed):
        expect_equal([block.type for block in answer.content], ["text"] + ["tool_use"] * 3, "blocks")
        expect_equal((answer.content[0].text, calls_of(answer)), ("well...", list(SEVERAL_CALLS)), "content")
        expect_equal(len({block.id for block in answer.content[1:]}), 3, "ids")


@before_both("thoughts come as a block before the text", needs_node=True)
def thinking(stage):
    stage.engine.says(thinking=("let me ", "see"), pieces=("four", "teen"))
    _, streamed = put_together(stage.scripted, SCRIPTED)
    thinking = {"type": "enabled", "budget_tokens": 1024}
    for answer in (stage.scripted_message(thinking=thinking, max_tokens=2000), streamed):
        expect_equal([block.type for block in answer.content], ["thinking", "text"], "blocks")
        thoughts, text = answer.content
        expect_equal((thoughts.thinking, text.text), ("let me see", "fourteen"), "content")


def history_with_image(image_source):
    """A conversation with all that the API has: a system prompt, an image, a call and its result."""
    call = {"type": "tool_use", "id": "toolu_1", "name": exact_model.TOOL, "input": exact_model.ARGUMENTS}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "sunny"}]}
    image = {"type": "image", "source": image_source}
    return [
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, image]},
        {"role": "assistant", "content": [{"type": "text", "text": "I look."}, call]},
        {"role": "user", "content": [result, {"type": "text", "text": "Well?"}]},
    ]


def ask_everything(stage, image):
    """Asks the scripted engine with that conversation, and returns what it was asked."""
    stage.engine.says()
    source = {"type": "base64", "media_type": "image/png", "data": coded(image)}
    stage.scripted_message(
        history_with_image(source),
        50,
        system="Be brief.",
        tools=[TOOL],
        stop_sequences=["x"],
        metadata={"user_id": "me"},
    )
    return stage.engine.asked()


@OVER_OLLAMA.scenario(
    "a conversation with an image and a tool reaches the engine in its form", needs_node=True
)
def conversation_at_ollama(stage):
    asked = ask_everything(stage, PNG)
    system, first, second, result, last = asked["messages"]
    expect_equal((system["role"], system["content"]), ("system", "Be brief."), "system prompt")
    expect_equal((first["content"], first["images"]), ("What is this?", [coded(PNG)]), "first message")
    (call,) = second["tool_calls"]
    expect_equal(second["content"], "I look.", "text beside the call")
    expect_equal((call["function"]["name"], call["function"]["arguments"]), WEATHER_CALL, "call")
    expect_equal((result["role"], result["content"]), ("tool", "sunny"), "result")
    expect_equal((last["role"], last["content"]), ("user", "Well?"), "last message")
    expect_equal(asked["options"], {"num_predict": 50, "stop": ["x"]}, "options")
    expect_equal(asked["tools"], [WEATHER_TOOL], "tools")


@OVER_OPENAI.scenario(
    "a conversation with an image and a tool reaches the engine in its form", needs_node=True
)
def conversation_at_openai(stage):
    asked = ask_everything(stage, PNG)
    system, first, second, result, last = asked["messages"]
    expect_equal(system, {"role": "system", "content": "Be brief."}, "system prompt")
    image = {"type": "image_url", "image_url": {"url": data_uri("image/png", PNG)}}
    expect_equal(first["content"], [{"type": "text", "text": "What is this?"}, image], "first message")
    (call,) = second["tool_calls"]
    expect_equal((second["content"], call["id"]), ("I look.", "toolu_1"), "text beside the call, and its id")
    expect_equal(
        (result["role"], result["tool_call_id"], result["content"]), ("tool", "toolu_1", "sunny"), "result"
    )
    expect_equal(last, {"role": "user", "content": "Well?"}, "last message")
    expect_equal((asked["max_tokens"], asked["stop"]), (50, ["x"]), "limits")
    expect_equal(asked["tools"], [WEATHER_TOOL], "tools")


@OVER_OPENAI.scenario("a choice of tools reaches the engine in its form", needs_node=True)
def tool_choice(stage):
    named = {"type": "function", "function": {"name": exact_model.TOOL}}
    for choice, expected in (
        ({"type": "tool", "name": exact_model.TOOL}, named),
        ({"type": "any"}, "required"),
        ({"type": "auto"}, "auto"),
    ):
        stage.engine.says()
        stage.scripted_message(tools=[TOOL], tool_choice=choice)
        expect_equal(stage.engine.asked().get("tool_choice", "auto"), expected, f"choice of {choice}")


@OVER_OLLAMA.scenario("a far image is a BadRequestError, for the engine takes none", needs_node=True)
def far_image(stage):
    stage.engine.says()
    history = history_with_image({"type": "url", "url": "http://127.0.0.1:9/x.png"})
    expect_error(anthropic.BadRequestError, lambda: stage.scripted_message(history, tools=[TOOL]))
    expect_error(IndexError, stage.engine.asked)


@before_both("the tokens of a request can be counted", needs_node=True)
def count_tokens(stage):
    for client, model in ((stage.at(EXACT), EXACT), (stage.scripted, SCRIPTED)):
        few = client.messages.count_tokens(model=model, messages=MESSAGES).input_tokens
        many = client.messages.count_tokens(
            model=model,
            messages=[{"role": "user", "content": "on and on " * 100}],
            system="Be brief.",
            tools=[TOOL],
        ).input_tokens
        expect(0 < few < many, f"{few} tokens, then {many}")


@before_both("an unknown model is a NotFoundError that names it", needs_node=True)
def unknown_model(stage):
    request = {"model": MISSING_MODEL, "messages": MESSAGES, "max_tokens": 9}
    for call in (
        lambda: stage.scripted.messages.create(**request),
        lambda: list(stage.scripted.messages.create(stream=True, **request)),
    ):
        error = expect_error(anthropic.NotFoundError, call)
        expect_equal(error.body["error"]["type"], "not_found_error", "type of the error")
        expect(MISSING_MODEL in error.body["error"]["message"], f"the model is not named: {error.body}")


@before_both("a bad request is a BadRequestError, and the engine is not asked", needs_node=True)
def bad_request(stage):
    for call in (
        lambda: stage.scripted_message([]),
        lambda: stage.scripted_message(max_tokens=0),
        lambda: stage.scripted_message("not a list"),
    ):
        stage.engine.says()
        error = expect_error(anthropic.BadRequestError, call)
        expect_equal(error.body["error"]["type"], "invalid_request_error", "type of the error")
        expect_error(IndexError, stage.engine.asked)


@before_both("an engine's refusal is the exception of its status, with its words", needs_node=True)
def refusals(stage):
    for status, kind, words in (
        (400, anthropic.BadRequestError, "the prompt is too long"),
        (500, anthropic.InternalServerError, "out of memory"),
        (503, anthropic.APIStatusError, "server busy"),
    ):
        stage.engine.says(status=status, error=words)
        for call in (stage.scripted_message, lambda: stage.scripted_message(stream=True)):
            error = expect_error(kind, call)
            expect_equal(error.status_code, status, "status")
            expect(words in error.body["error"]["message"], f"the words are lost: {error.body}")


@before_both("the asynchronous client runs four streams at once")
def asynchronous_streams(stage):
    async def run():
        async with client_of(*stage.way(EXACT), anthropic.AsyncAnthropic) as client:

            async def one():
                request = {"model": EXACT, "messages": MESSAGES, "max_tokens": 100}
                async with client.messages.stream(**request) as stream:
                    return await stream.get_final_message()

            return await asyncio.gather(*(one() for _ in range(4)))

    for whole in asyncio.run(run()):
        expect_equal(text_of(whole), EXACT_TEXT, "text")


@before_both("a client that leaves early stops the generation")
def client_leaves_early(stage):
    stream = stage.message(ENDLESS, max_tokens=10000, stream=True)
    expect_equal(len(list(itertools.islice(stream, 5))), 5, "events before leaving")
    expect_equal(stage.endless.busy_slots(), 1, "generations running while the client reads the first events")
    stream.close()
    wait_until(lambda: stage.endless.busy_slots() == 0, "the engine to stop generating", limit_s=10)
