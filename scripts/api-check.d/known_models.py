"""Hooks of schemathesis: many bodies name a model that the backends have, or nothing would get beyond a 404."""

import zlib

import requests_of
import schemathesis


@schemathesis.hook
def map_body(context, body):
    """Half of the invented names become known ones, always the same for the same name."""
    if isinstance(body, dict) and isinstance(body.get("model"), str):
        place = zlib.crc32(body["model"].encode(errors="replace"))
        if place % 2:
            body["model"] = requests_of.MODELS[(place // 2) % len(requests_of.MODELS)]
    return body
