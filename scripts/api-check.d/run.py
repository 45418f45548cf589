"""Runs `scripts/api-check`: a node before simulated backends, schemathesis over its description, a browser on its explorer."""

import argparse
import json
import os
import shutil
import sys
import time
import urllib.request
from pathlib import Path

import explorer
import requests_of
from processes import Children
from scenarios import wait_until

ADMIN_TOKEN = "api-check-token"
HEALTHY_LIMIT_S = 45
# So that a backend is a candidate whatever happens: failures are what is looked for, and not to be hidden.
LASTING = {
    "RateLimitRequestsThreshold": 0,
    "MaxParallelRequests": 1000,
    "CircuitBreakerErrorPercent": 0,
    "CircuitBreakerConnectFailures": 0,
    "UnhealthyThreshold": 10000,
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], default=[])
    arguments = parser.parse_args()
    failed = []
    with Children(arguments.work / "logs") as children:
        for name, part in PARTS.items():
            if arguments.parts and name not in arguments.parts:
                continue
            started = time.monotonic()
            # Each on a node of its own: what one has deleted, the next one needs.
            url = start(children, name, arguments.work)
            is_good = part(url, arguments.work)
            print(f"{'PASS' if is_good else 'FAIL'} {name} ({time.monotonic() - started:.0f} s)", flush=True)
            if not is_good:
                failed.append(name)
        if failed:
            children.print_log_tails()
    sys.exit(1 if failed else 0)


def start(children, name, work):
    """A node before two Ollama servers and a vLLM server, all simulated; its address."""
    home = work / f"node-{name}"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    backends = []
    for place, (form, probe) in enumerate([("ollama", "/"), ("ollama", "/"), ("openai", "/health")], start=1):
        argv = [os.environ["SIMULATED_BACKEND_BIN"], "--listen", "127.0.0.1:0", "--format", form]
        for model in requests_of.MODELS:
            argv += ["--model", model]
        engine = children.start(f"{name}-backend{place}", argv).wait_for_url()
        backends.append(
            {
                "Identifier": f"backend{place}",
                "Hostname": "127.0.0.1",
                "Port": int(engine.rsplit(":", 1)[1]),
                "ApiFormat": "OpenAI" if form == "openai" else "Ollama",
                "HealthCheckUrl": probe,
            }
            | LASTING
        )
    settings = {
        "Webserver": {"Hostname": "127.0.0.1"},
        "AdminBearerTokens": [ADMIN_TOKEN],
        "Frontends": [
            {
                "Identifier": "frontend1",
                "Hostname": "*",
                "Backends": [backend["Identifier"] for backend in backends],
                "AllowModelManagement": True,
            }
        ],
        "Backends": backends,
    }
    (home / "ollamaflow.json").write_text(json.dumps(settings, indent=2))
    argv = [os.environ["OLLAMAFLOW_BIN"], "--listen", "127.0.0.1:0"]
    url = children.start(f"{name}-node", argv, cwd=home).wait_for_url()

    def all_healthy():
        call = urllib.request.Request(
            f"{url}/v1.0/backends/health", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}
        )
        try:
            with urllib.request.urlopen(call, timeout=5) as answer:
                return all("HealthySinceUtc" in view for view in json.load(answer))
        except OSError:
            # Its cluster is still forming.
            return False

    wait_until(all_healthy, "healthy backends", HEALTHY_LIMIT_S)
    return url


PARTS = {
    "clients": lambda url, work: requests_of.clients(url, work),
    "admins": lambda url, work: requests_of.admins(url, work, ADMIN_TOKEN),
    "explorer": lambda url, work: explorer.check(url, work, ADMIN_TOKEN),
}

if __name__ == "__main__":
    main()
