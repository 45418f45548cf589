"""The real `openai` client's Responses API before Ollama's: more of the suite `openai-over-ollama`."""

import json

import exact_model
import openai
from clients.openai_over_ollama import SUITE
from crossed import CALLING, EXACT, EXACT_TEXT, SMALL
from samples import (
    DESCRIBE_FIRE,
    PNG,
    PROMPT,
    SCHEMA,
    WEATHER_CALL,
    WEATHER_TOOL,
    coded,
    data_uri,
    expect_of_schema,
)
from scenarios import expect, expect_equal, expect_error
from scripted import MODEL as SCRIPTED

# The same tool, as this API has it.
TOOL = {"type": "function", "strict": False, **WEATHER_TOOL["function"]}


def create(stage, model, **request):
    """Asks a real engine."""
    return stage.at(model).responses.create(model=model, **request)


def only(kind, items):
    """The one item of this kind."""
    (item,) = [item for item in items if item.type == kind]
    return item


@SUITE.scenario("a response gets the engine's words and figures")
def response(stage):
    answer = create(stage, EXACT, input=PROMPT, instructions="Be brief.")
    expect_equal(
        (answer.output_text, answer.status, answer.error), (EXACT_TEXT, "completed", None), "response"
    )
    expect_equal((answer.object, answer.model), ("response", EXACT), "object and model")
    usage = answer.usage
    expect(usage.input_tokens > 0 and usage.output_tokens > 20, f"no tokens are counted: {usage}")


@SUITE.scenario("a streamed response comes word by word, from created to completed")
def streamed_response(stage):
    events = list(create(stage, EXACT, input=PROMPT, stream=True))
    words = [event.delta for event in events if event.type == "response.output_text.delta"]
    expect_equal(words, list(exact_model.EXACT.pieces), "words")
    kinds = [event.type for event in events]
    expect_equal((kinds[0], kinds[-1]), ("response.created", "response.completed"), "first and last event")
    expect_equal(events[-1].response.output_text, EXACT_TEXT, "text of the last event")


@SUITE.scenario(
    "the SDK puts a streamed response together, which takes the right order of events", needs_node=True
)
def accumulated_response(stage):
    with stage.at(EXACT).responses.stream(model=EXACT, input=PROMPT) as stream:
        expect_equal(stream.get_final_response().output_text, EXACT_TEXT, "text that the SDK puts together")


@SUITE.scenario("a response that is cut at its limit is incomplete", needs_node=True)
def incomplete_response(stage):
    answer = create(stage, EXACT, input=PROMPT, max_output_tokens=16)
    expect_equal(answer.status, "incomplete", "status")
    expect_equal(answer.incomplete_details.reason, "max_output_tokens", "reason")


@SUITE.scenario("a response calls a tool, and answers its result")
def response_tools(stage):
    asked = [{"role": "user", "content": PROMPT}]
    answer = create(stage, CALLING, input=asked, tools=[TOOL])
    call = only("function_call", answer.output)
    expect_equal((call.name, json.loads(call.arguments)), WEATHER_CALL, "call")
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny, 21 degrees"}
    told = call.model_dump(exclude_none=True, include={"type", "call_id", "name", "arguments"})
    answer = create(stage, CALLING, input=[*asked, told, result], tools=[TOOL])
    expect_equal(answer.output_text.strip(), exact_model.REPLY, "answer to the result")


@SUITE.scenario("a streamed response calls a tool")
def streamed_response_tools(stage):
    events = list(create(stage, CALLING, input=PROMPT, tools=[TOOL], stream=True))
    fragments = [event.delta for event in events if event.type == "response.function_call_arguments.delta"]
    expect_equal(json.loads("".join(fragments)), exact_model.ARGUMENTS, "arguments")
    expect_equal(only("function_call", events[-1].response.output).name, exact_model.TOOL, "name")


@SUITE.scenario("a response keeps to a schema", needs_node=True)
def structured_response(stage):
    wanted = {"format": {"type": "json_schema", "name": "fire", "schema": SCHEMA, "strict": True}}
    answer = create(stage, SMALL, input=DESCRIBE_FIRE, text=wanted, temperature=0, max_output_tokens=60)
    expect_of_schema(answer.output_text)


@SUITE.scenario("a response tells thoughts before the text", needs_node=True)
def response_reasoning(stage):
    stage.engine.says(thinking=("let me ", "see"), pieces=("four", "teen"))
    answer = stage.scripted.responses.create(model=SCRIPTED, input=PROMPT, reasoning={"effort": "low"})
    expect_equal([item.type for item in answer.output], ["reasoning", "message"], "items")
    (summary,) = answer.output[0].summary
    expect_equal((summary.text, answer.output_text), ("let me see", "fourteen"), "thoughts and text")
    expect_equal(stage.engine.asked()["think"], "low", "effort")


@SUITE.scenario("images of a response's input reach the engine as base64", needs_node=True)
def response_images(stage):
    stage.engine.says()
    parts = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": data_uri("image/png", PNG), "detail": "auto"},
    ]
    stage.scripted.responses.create(model=SCRIPTED, input=[{"role": "user", "content": parts}])
    (message,) = stage.engine.asked()["messages"]
    expect_equal((message["content"], message["images"]), ("What is this?", [coded(PNG)]), "message")


@SUITE.scenario("a response that needs an earlier one is a BadRequestError", needs_node=True)
def earlier_response(stage):
    stage.engine.says()
    error = expect_error(
        openai.BadRequestError,
        lambda: stage.scripted.responses.create(model=SCRIPTED, input=PROMPT, previous_response_id="resp_1"),
    )
    expect_equal(error.param, "previous_response_id", "what is named")
