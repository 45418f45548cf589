"""The same answers in Ollama's native API and in OpenAI's: what `scripted` engines say of a script."""

import json

CREATED = 1764288000
CREATED_AT = "2025-11-28T00:00:00Z"
# How many characters of a call's arguments come at a time.
FRAGMENT = 4


class OllamaFormat:
    """Ollama's native API, as it was before calls had ids."""

    NAME = "Ollama"
    HEALTH_PATH = "/"
    PATHS = ("/api/chat", "/api/generate")
    NO_SUCH_PATH = "404 page not found"
    STREAM_TYPE = "application/x-ndjson"
    STREAMS_UNASKED = True

    @staticmethod
    def lists(model):
        """The answers to GET requests."""
        entry = {
            "name": f"{model}:latest",
            "model": f"{model}:latest",
            "modified_at": CREATED_AT,
            "size": 1,
            "digest": "0" * 64,
            "details": {"format": "gguf", "family": "llama", "families": ["llama"]},
        }
        running = entry | {"expires_at": CREATED_AT, "size_vram": 0, "context_length": 4096}
        return {
            "/": {},
            "/api/version": {"version": "0.33.0"},
            "/api/tags": {"models": [entry]},
            "/api/ps": {"models": [running]},
        }

    @staticmethod
    def error(_status, message):
        """The body of a refusal."""
        return {"error": message}

    @classmethod
    def whole(cls, path, body, script):
        """An answer that is not streamed."""
        part = {"content": script.text}
        if script.thinking:
            part["thinking"] = "".join(script.thinking)
        if script.calls:
            part["tool_calls"] = cls._calls(script)
        return cls._object(path, body, part, script.logprobs) | cls._figures(script)

    @classmethod
    def frames(cls, path, body, script):
        """The lines of an answer that is streamed."""
        parts = [({"content": "", "thinking": piece}, ()) for piece in script.thinking]
        parts += (
            [({"content": piece}, ()) for piece in script.pieces]
            if not script.logprobs
            else [({"content": token}, [(token, value)]) for token, value in script.logprobs]
        )
        if script.calls:
            parts.append(({"content": "", "tool_calls": cls._calls(script)}, ()))
        for part, logprobs in parts:
            yield cls._line(cls._object(path, body, part, logprobs))
        if not script.breaks:
            yield cls._line(cls._object(path, body, {"content": ""}, ()) | cls._figures(script))
        elif script.breaks == "error":
            yield cls._line({"error": script.error})

    @staticmethod
    def _line(value):
        return json.dumps(value).encode() + b"\n"

    @staticmethod
    def _calls(script):
        return [
            {"function": {"index": place, "name": name, "arguments": arguments}}
            for place, (name, arguments) in enumerate(script.calls)
        ]

    @staticmethod
    def _object(path, body, part, logprobs):
        if path == "/api/chat":
            told = {"message": {"role": "assistant", **part}}
        else:
            told = {"response": part["content"]} | {name: part[name] for name in part if name != "content"}
        if logprobs:
            told["logprobs"] = [logprob(token, value) for token, value in logprobs]
        return {"model": body["model"], "created_at": CREATED_AT, **told, "done": False}

    @staticmethod
    def _figures(script):
        return {
            "done": True,
            "done_reason": script.reason,
            "total_duration": 3,
            "load_duration": 1,
            "prompt_eval_count": script.prompt_tokens,
            "prompt_eval_duration": 1,
            "eval_count": script.tokens,
            "eval_duration": 1,
        }


class OpenAiFormat:
    """OpenAI's chat and completions, with thoughts as vLLM and llama.cpp tell them."""

    NAME = "OpenAI"
    HEALTH_PATH = "/health"
    PATHS = ("/v1/chat/completions", "/v1/completions")
    NO_SUCH_PATH = {"detail": "Not Found"}
    STREAM_TYPE = "text/event-stream"
    STREAMS_UNASKED = False

    @staticmethod
    def lists(model):
        """The answers to GET requests."""
        entry = {"id": model, "object": "model", "created": CREATED, "owned_by": "acceptance"}
        return {"/health": {"status": "ok"}, "/v1/models": {"object": "list", "data": [entry]}}

    @staticmethod
    def error(status, message):
        """The body of a refusal."""
        kinds = {400: "BadRequestError", 404: "NotFoundError"}
        return {
            "error": {
                "message": message,
                "type": kinds.get(status, "server_error"),
                "param": None,
                "code": status,
            }
        }

    @classmethod
    def whole(cls, path, body, script):
        """An answer that is not streamed."""
        if path == "/v1/completions":
            choice = {"text": script.text}
        else:
            message = {"role": "assistant", "content": script.text}
            if script.thinking:
                message["reasoning_content"] = "".join(script.thinking)
            if script.calls:
                message["tool_calls"] = [
                    call(place, name, json.dumps(arguments))
                    for place, (name, arguments) in enumerate(script.calls)
                ]
            choice = {"message": message}
        if script.logprobs:
            choice["logprobs"] = cls._logprobs(script.logprobs)
        kind = "text_completion" if path == "/v1/completions" else "chat.completion"
        answer = cls._envelope(body, kind, choice | {"finish_reason": cls._reason(script)})
        return answer | {"usage": cls._usage(script)}

    @classmethod
    def frames(cls, path, body, script):
        """The events of an answer that is streamed."""
        plain = path == "/v1/completions"
        kind = "text_completion" if plain else "chat.completion.chunk"
        if not plain:
            yield cls._event(cls._envelope(body, kind, {"delta": {"role": "assistant", "content": None}}))
        for choice in cls._choices(script, plain=plain):
            yield cls._event(cls._envelope(body, kind, choice | {"finish_reason": None}))
        if script.breaks == "error":
            yield cls._event(cls.error(500, script.error))
        if script.breaks:
            return
        last = {"text": ""} if plain else {"delta": {}}
        yield cls._event(cls._envelope(body, kind, last | {"finish_reason": cls._reason(script)}))
        if (body.get("stream_options") or {}).get("include_usage"):
            yield cls._event(cls._envelope(body, kind) | {"usage": cls._usage(script)})
        yield b"data: [DONE]\n\n"

    @classmethod
    def _choices(cls, script, *, plain):
        for piece in script.thinking:
            yield {"delta": {"reasoning_content": piece}}
        for piece in script.pieces if not script.logprobs else ():
            yield {"text": piece} if plain else {"delta": {"content": piece}}
        for token, value in script.logprobs:
            yield {"delta": {"content": token}, "logprobs": cls._logprobs([(token, value)])}
        for place, (name, arguments) in enumerate(script.calls):
            yield {"delta": {"tool_calls": [call(place, name, "")]}}
            text = json.dumps(arguments)
            for begin in range(0, len(text), FRAGMENT):
                fragment = {"arguments": text[begin : begin + FRAGMENT]}
                yield {"delta": {"tool_calls": [{"index": place, "function": fragment}]}}

    @staticmethod
    def _event(value):
        return b"data: " + json.dumps(value).encode() + b"\n\n"

    @staticmethod
    def _envelope(body, kind, *choices):
        return {
            "id": "chatcmpl-scripted",
            "object": kind,
            "created": CREATED,
            "model": body["model"],
            "choices": [{"index": 0, **choice} for choice in choices],
        }

    @staticmethod
    def _reason(script):
        return "tool_calls" if script.calls else script.reason

    @staticmethod
    def _logprobs(logprobs):
        return {"content": [logprob(token, value) for token, value in logprobs]}

    @staticmethod
    def _usage(script):
        total = script.prompt_tokens + script.tokens
        return {
            "prompt_tokens": script.prompt_tokens,
            "completion_tokens": script.tokens,
            "total_tokens": total,
        }


def call(place, name, arguments):
    """A call of a tool in OpenAI's form."""
    function = {"name": name, "arguments": arguments}
    return {"index": place, "id": f"call_scripted{place}", "type": "function", "function": function}


def logprob(token, value):
    """The log probability of a token, in the form of both APIs."""
    return {"token": token, "logprob": value, "bytes": list(token.encode()), "top_logprobs": []}


FORMATS = {form.NAME: form for form in (OllamaFormat, OpenAiFormat)}
