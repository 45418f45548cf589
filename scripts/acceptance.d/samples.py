"""What the crossed clients ask with, and how their answers are judged, whatever their API."""

import base64
import json
import math

import exact_model
import numpy as np
from scenarios import expect, expect_equal

MISSING_MODEL = "no-such-model"
PROMPT = "Say it."
MESSAGES = [{"role": "user", "content": PROMPT}]

# With words that Ollama's own layer would drop.
WEATHER_PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string", "minLength": 1}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER_TOOL = {
    "type": "function",
    "function": {
        "name": exact_model.TOOL,
        "description": "Tells the weather in a city",
        "parameters": WEATHER_PARAMETERS,
    },
}
WEATHER_CALL = (exact_model.TOOL, exact_model.ARGUMENTS)
SEVERAL_CALLS = (("first", {"place": 1}), ("second", {"nested": {"list": [1, 2.5, "é"]}}), ("third", {}))

# So narrow that a model of any size gives a short answer.
SCHEMA = {
    "type": "object",
    "properties": {"colour": {"enum": ["red", "green", "blue"]}, "warm": {"type": "boolean"}},
    "required": ["colour", "warm"],
    "additionalProperties": False,
}
DESCRIBE_FIRE = [{"role": "user", "content": "Describe fire. Answer in JSON."}]
CAPITAL = "What is the capital of France?"

# The smallest picture there is: one pixel. The other is only the beginning of one, which is where a reader
# looks for its kind.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00"

# Two sentences of the same meaning and one of another.
SENTENCES = ["A cat sits on the mat.", "A kitten lies on the rug.", "Shares fell on Tuesday."]
DIMENSIONS = 384


def coded(image):
    """An image as base64."""
    return base64.b64encode(image).decode()


def data_uri(media_type, image):
    """An image as a data URI."""
    return f"data:{media_type};base64,{coded(image)}"


def expect_of_schema(text):
    """Fails unless the text is JSON of `SCHEMA`."""
    value = json.loads(text)
    expect_equal(set(value), {"colour", "warm"}, "members")
    expect(value["colour"] in ("red", "green", "blue") and isinstance(value["warm"], bool), f"got {value}")


def expect_meaning(vectors):
    """Fails unless these are vectors of `SENTENCES`, of length one, nearer to each other the nearer the
    meaning is."""
    expect_equal([len(vector) for vector in vectors], [DIMENSIONS] * len(SENTENCES), "dimensions")
    for vector in vectors:
        expect(math.isclose(np.linalg.norm(vector), 1, abs_tol=1e-3), f"length {np.linalg.norm(vector)}")
    first, near, far = vectors
    expect(likeness(first, near) > likeness(first, far) + 0.2, "the meaning is lost")


def expect_shortened(vector, short):
    """Fails unless `short` is the beginning of `vector`, made of length one again."""
    expect(likeness(vector[: len(short)], short) > 0.999 and len(short) < len(vector), "not its beginning")
    expect(math.isclose(np.linalg.norm(short), 1, abs_tol=1e-3), f"length {np.linalg.norm(short)}")


def likeness(one, other):
    """The cosine of the angle between two vectors."""
    return float(np.dot(one, other) / (np.linalg.norm(one) * np.linalg.norm(other)))
