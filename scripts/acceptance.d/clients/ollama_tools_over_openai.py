"""The real `ollama` client with tools before OpenAI's API: more of the suite `ollama-over-openai`."""

import json

import exact_model
import ollama
from clients.ollama_over_openai import SUITE, expect_whole
from crossed import CALLING
from samples import MESSAGES, SEVERAL_CALLS, WEATHER_CALL, WEATHER_TOOL
from scenarios import expect, expect_equal
from scripted import MODEL as SCRIPTED


def function_of(call):
    """The name and the arguments of a call."""
    return call.function.name, dict(call.function.arguments)


@SUITE.scenario("a tool is called, and its result is answered")
def tools(stage):
    answer = stage.client.chat(CALLING, MESSAGES, tools=[WEATHER_TOOL])
    (call,) = answer.message.tool_calls
    expect_equal(function_of(call), WEATHER_CALL, "call")
    result = {"role": "tool", "tool_name": call.function.name, "content": "sunny, 21 degrees"}
    answer = stage.client.chat(CALLING, [*MESSAGES, answer.message, result], tools=[WEATHER_TOOL])
    expect_equal(answer.message.content.strip(), exact_model.REPLY, "answer to the result")
    expect(not answer.message.tool_calls, "the tool is called again")


@SUITE.scenario("a call in a stream comes whole")
def streamed_tools(stage):
    lines = list(stage.client.chat(CALLING, MESSAGES, tools=[WEATHER_TOOL], stream=True))
    calls = [call for line in lines for call in line.message.tool_calls or []]
    expect_equal([function_of(call) for call in calls], [WEATHER_CALL], "calls")
    expect_whole(lines[-1])


@SUITE.scenario("several calls of a stream keep their order")
def several_calls(stage):
    stage.engine.says(pieces=(), calls=SEVERAL_CALLS)
    lines = list(stage.scripted.chat(SCRIPTED, MESSAGES, tools=[WEATHER_TOOL], stream=True))
    got = [function_of(call) for line in lines for call in line.message.tool_calls or []]
    expect_equal(got, list(SEVERAL_CALLS), "calls")


@SUITE.scenario("tools and their results reach the engine in its form", needs_node=True)
def tools_at_engine(stage):
    stage.engine.says()
    call = {"function": {"name": exact_model.TOOL, "arguments": exact_model.ARGUMENTS}}
    history = [
        *MESSAGES,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_name": exact_model.TOOL, "content": "sunny"},
    ]
    stage.scripted.chat(SCRIPTED, history, tools=[WEATHER_TOOL])
    asked = stage.engine.asked()
    # The SDK itself drops what it does not know of a schema.
    expect_equal(asked["tools"], [ollama.Tool(**WEATHER_TOOL).model_dump(exclude_none=True)], "tools")
    (made,) = asked["messages"][1]["tool_calls"]
    expect_equal(json.loads(made["function"]["arguments"]), exact_model.ARGUMENTS, "arguments")
    expect(made["id"], "the call has no id")
    expect_equal(asked["messages"][2]["tool_call_id"], made["id"], "id of the result")
