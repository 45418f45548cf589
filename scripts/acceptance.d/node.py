"""The node under test: one `ollamaflow` process with its own directory, settings file and port."""

import json
import os
from dataclasses import dataclass

import httpx
from processes import Child
from scenarios import wait_until

ADMIN_TOKEN = "acceptance"
# Twice what two health checks, five seconds apart, and a slow start may take.
HEALTHY_LIMIT_S = 45
# For a backend that is to take its turn however many requests come in a second.
UNLIMITED = {"RateLimitRequestsThreshold": 0}


@dataclass
class Node:
    """A running node."""

    url: str
    child: Child
    backends: set

    def wait_healthy(self):
        """Waits until the node finds all of its backends healthy."""
        wait_until(self._all_healthy, "healthy backends", HEALTHY_LIMIT_S)

    def _all_healthy(self):
        answer = httpx.get(
            f"{self.url}/v1.0/backends/health", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}
        )
        if answer.status_code == 503:
            # Its cluster is still forming.
            return False
        answer.raise_for_status()
        return {view["Identifier"] for view in answer.json() if "HealthySinceUtc" in view} == self.backends


def start(children, name, directory, backends, frontends, **properties):
    """Starts a node in the new directory `directory/name` and waits until it listens.

    `backends` are engines that are ready; `frontends` maps a frontend's hostname to the identifiers of its
    backends; `properties` are set on every backend.
    """
    objects = {
        "Frontends": [
            {
                "Identifier": f"frontend{place}",
                "Name": f"for {hostname}",
                "Hostname": hostname,
                "Backends": members,
            }
            for place, (hostname, members) in enumerate(frontends.items(), start=1)
        ],
        "Backends": [backend.backend() | properties for backend in backends],
    }
    return launch(children, name, directory, objects)()


def launch(children, name, directory, objects, *flags):
    """Starts a node with these frontends and backends in the new directory `directory/name`, and returns at
    once: what it returns waits until the node listens, and gives it. A node of a cluster listens when there
    is one."""
    home = directory / name
    home.mkdir()
    settings = {"Webserver": {"Hostname": "127.0.0.1"}, "AdminBearerTokens": [ADMIN_TOKEN]} | objects
    (home / "ollamaflow.json").write_text(json.dumps(settings, indent=2))
    # With port 0 the OS picks one, and the node tells which.
    argv = [os.environ["OLLAMAFLOW_BIN"], "--listen", "127.0.0.1:0", *flags]
    child = children.start(name, argv, cwd=home)
    identifiers = {backend["Identifier"] for backend in objects["Backends"]}
    return lambda: Node(child.wait_for_url(), child, identifiers)
