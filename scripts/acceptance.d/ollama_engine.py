"""What `ollama_server` asks a llama.cpp server for, and how the answers become objects of Ollama's API."""

import json
import time
from datetime import UTC, datetime, timedelta

# What Ollama says when the engine below it dies.
ENGINE_GONE = "an error was encountered while running the model: unexpected EOF"
# Of the options of a request, those that the engine takes under the same name.
SAME_OPTIONS = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "stop",
    "frequency_penalty",
    "presence_penalty",
    "repeat_penalty",
)


class Refused(Exception):
    """An error that ends a request before its answer."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def timestamp(ahead_s=0):
    """A moment from now, as Ollama writes it."""
    return (datetime.now(UTC) + timedelta(seconds=ahead_s)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def engine_request(body):
    """What the engine is asked for a chat or a generation, but for the prompt."""
    options = body.get("options") or {}
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    asked |= {name: options[name] for name in SAME_OPTIONS if name in options}
    if options.get("num_predict", -1) >= 0:
        asked["max_tokens"] = options["num_predict"]
    if body.get("format") == "json":
        asked["response_format"] = {"type": "json_object"}
    elif body.get("format"):
        asked["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "schema", "schema": body["format"]},
        }
    for name in ("tools", "logprobs", "top_logprobs"):
        if body.get(name):
            asked[name] = body[name]
    return asked


def engine_message(message):
    """A message of a chat as the engine takes it."""
    told = {"role": message["role"], "content": message.get("content") or ""}
    if message.get("images"):
        raise Refused(500, "this model is missing data required for image input")
    if message.get("tool_calls"):
        told["tool_calls"] = [engine_call(call) for call in message["tool_calls"]]
    if message["role"] == "tool":
        told["tool_call_id"] = message.get("tool_call_id") or "call_unknown"
    return told


def engine_call(call):
    """A call of a tool that was made earlier, as the engine takes it."""
    function = call["function"]
    if not isinstance(function["arguments"], dict):
        raise Refused(
            400, "json: cannot unmarshal string into Go struct field of type map[string]interface {}"
        )
    arguments = json.dumps(function["arguments"])
    return {
        "id": call.get("id") or "call_unknown",
        "type": "function",
        "function": {"name": function["name"], "arguments": arguments},
    }


def prompt_of(body, is_chat):
    """The path of the engine and the prompt of a request; None when there is no prompt."""
    if is_chat:
        messages = [engine_message(message) for message in body.get("messages") or []]
        return ("/v1/chat/completions", {"messages": messages}) if messages else None
    if not body.get("prompt"):
        return None
    if body.get("raw"):
        return "/v1/completions", {"prompt": body["prompt"]}
    system = [{"role": "system", "content": body["system"]}] if body.get("system") else []
    messages = [*system, {"role": "user", "content": body["prompt"]}]
    return "/v1/chat/completions", {"messages": messages}


# === answers of the engine


class Generation:
    """One answer of the engine, read chunk by chunk, as the parts of Ollama's objects."""

    def __init__(self, is_chat):
        self._is_chat = is_chat
        self._calls = {}
        self.whole = False
        self.reason = "stop"
        self.usage = {}

    def parts(self, lines):
        """What each chunk adds: the members of a message or a generation, and log probabilities."""
        for line in lines:
            if line == "data: [DONE]":
                self.whole = True
                break
            if line.startswith("data: "):
                yield from self._parts_of(json.loads(line.removeprefix("data: ")))
        if self.whole and self._calls:
            yield {"content": "", "tool_calls": self._whole_calls()}, None

    def _parts_of(self, chunk):
        self.usage = chunk.get("usage") or self.usage
        for choice in chunk.get("choices", []):
            self.reason = choice.get("finish_reason") or self.reason
            delta = choice.get("delta") or {"content": choice.get("text")}
            for call in delta.get("tool_calls") or []:
                self._add_call(call)
            logprobs = (choice.get("logprobs") or {}).get("content")
            if delta.get("content") or delta.get("reasoning_content") or logprobs:
                part = {"content": delta.get("content") or ""}
                if delta.get("reasoning_content"):
                    part["thinking"] = delta["reasoning_content"]
                yield part, logprobs

    def _add_call(self, call):
        new = {"id": "", "function": {"index": call["index"], "name": "", "arguments": ""}}
        known = self._calls.setdefault(call["index"], new)
        known["id"] += call.get("id") or ""
        for name, text in call["function"].items():
            known["function"][name] += text or ""

    def _whole_calls(self):
        calls = [self._calls[index] for index in sorted(self._calls)]
        for call in calls:
            call["function"]["arguments"] = json.loads(call["function"]["arguments"] or "{}")
        return calls

    def object(self, model, part, logprobs=None, **more):
        """One object of the answer."""
        if self._is_chat:
            told = {"message": {"role": "assistant", **part}}
        else:
            told = {"response": part["content"]} | {name: part[name] for name in part if name != "content"}
        if logprobs:
            told["logprobs"] = logprobs
        return {"model": model, "created_at": timestamp(), **told, "done": False} | more

    def figures(self, started):
        """What the last object tells."""
        took = time.monotonic_ns() - started
        return {
            "done": True,
            "done_reason": "length" if self.reason == "length" else "stop",
            "total_duration": took,
            "load_duration": 1,
            "prompt_eval_count": self.usage.get("prompt_tokens", 0),
            "prompt_eval_duration": 1,
            "eval_count": self.usage.get("completion_tokens", 0),
            "eval_duration": took,
        }


def joined(parts):
    """The parts of an answer as one, with all log probabilities."""
    told, logprobs = {"content": ""}, []
    for part, more in parts:
        for name in ("content", "thinking"):
            if part.get(name):
                told[name] = told.get(name, "") + part[name]
        told |= {name: part[name] for name in part if name == "tool_calls"}
        logprobs += more or []
    return told, logprobs
