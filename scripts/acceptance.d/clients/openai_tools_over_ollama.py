"""The real `openai` client with tools before Ollama's native API: more of the suite `openai-over-ollama`."""

import json

import exact_model
from clients.openai_over_ollama import SUITE
from crossed import CALLING
from samples import MESSAGES, SEVERAL_CALLS, WEATHER_CALL, WEATHER_TOOL
from scenarios import expect, expect_equal


def calls_of(chunks):
    """The calls in streamed chat chunks, put together by index, as a client has to."""
    calls = {}
    for chunk in chunks:
        for choice in chunk.choices:
            for delta in choice.delta.tool_calls or []:
                call = calls.setdefault(delta.index, {"id": "", "name": "", "arguments": ""})
                call["id"] += delta.id or ""
                call["name"] += delta.function.name or ""
                call["arguments"] += delta.function.arguments or ""
    return [calls[index] for index in sorted(calls)]


def function_of(call):
    """The name and the arguments of a call."""
    return call.function.name, json.loads(call.function.arguments)


@SUITE.scenario("a tool is called, and its result is answered")
def tools(stage):
    choice = stage.chat(CALLING, tools=[WEATHER_TOOL], tool_choice="auto").choices[0]
    expect_equal(choice.finish_reason, "tool_calls", "finish reason")
    (call,) = choice.message.tool_calls
    expect_equal((call.type, function_of(call)), ("function", WEATHER_CALL), "call")
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny, 21 degrees"}
    choice = stage.chat(CALLING, [*MESSAGES, choice.message, result], tools=[WEATHER_TOOL]).choices[0]
    expect_equal(choice.message.content.strip(), exact_model.REPLY, "answer to the result")
    expect_equal(choice.finish_reason, "stop", "finish reason of the answer")


@SUITE.scenario("a streamed call can be put together")
def streamed_tools(stage):
    chunks = list(stage.chat(CALLING, tools=[WEATHER_TOOL], stream=True))
    (call,) = calls_of(chunks)
    expect_equal((call["name"], json.loads(call["arguments"])), WEATHER_CALL, "call")
    expect(call["id"], "the call has no id")
    expect_equal(chunks[-1].choices[0].finish_reason, "tool_calls", "finish reason")


@SUITE.scenario("several calls of an engine that gives no ids get one each")
def several_calls(stage):
    stage.engine.says(pieces=(), calls=SEVERAL_CALLS)
    message = stage.scripted_chat(tools=[WEATHER_TOOL]).choices[0].message
    expect_equal([function_of(call) for call in message.tool_calls], list(SEVERAL_CALLS), "calls")
    expect_equal(len({call.id for call in message.tool_calls}), len(SEVERAL_CALLS), "ids")
    calls = calls_of(stage.scripted_chat(tools=[WEATHER_TOOL], stream=True))
    got = [(call["name"], json.loads(call["arguments"])) for call in calls]
    expect_equal(got, list(SEVERAL_CALLS), "calls of the stream")
    expect_equal(len({call["id"] for call in calls}), len(SEVERAL_CALLS), "ids in the stream")


@SUITE.scenario("tools and their results reach the engine in its form", needs_node=True)
def tools_at_engine(stage):
    stage.engine.says()
    function = {"name": exact_model.TOOL, "arguments": json.dumps(exact_model.ARGUMENTS)}
    history = [
        *MESSAGES,
        {"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "sunny"}]},
    ]
    stage.scripted_chat(history, tools=[WEATHER_TOOL])
    asked = stage.engine.asked()
    expect_equal(asked["tools"], [WEATHER_TOOL], "tools")
    (call,) = asked["messages"][1]["tool_calls"]
    expect_equal((call["function"]["name"], call["function"]["arguments"]), WEATHER_CALL, "call")
    result = asked["messages"][2]
    expect_equal(
        (result["role"], result["content"], result["tool_name"]),
        ("tool", "sunny", exact_model.TOOL),
        "result",
    )
