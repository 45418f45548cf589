"""The cluster of nodes as its admin API shows it: states, writes, and what each node has."""

import time
from dataclasses import dataclass

from http_calls import CallFailed, call
from waiting import Failure, expect, wait_until

NODES = ("node1", "node2", "node3")
CLIENT_PORT = 43411
NETWORK = "peers"


def others(name):
    """The other two nodes."""
    return [node for node in NODES if node != name]


def alias(name):
    """The name of a node on the network of the peers."""
    return f"{name}.peers"


@dataclass
class Written:
    """An acknowledged write."""

    identifier: str
    seconds: float
    attempts: int


class Cluster:
    """The nodes of a compose project, each asked at its own published port."""

    def __init__(self, compose, token):
        self.compose = compose
        self.acknowledged = []
        self._headers = {"Authorization": f"Bearer {token}"}
        self._addresses = {}
        self._count = 0

    # === one node ===

    def address(self, service):
        """Where the service's port for clients is published on this machine."""
        if service not in self._addresses:
            self._addresses[service] = self.compose.published(service, CLIENT_PORT)
        return self._addresses[service]

    def moved(self, service):
        """To be called when the container was started again: its published port is another one."""
        self._addresses.pop(service, None)

    def ask(self, node, method, path, body=None, timeout_s=10):
        """One request of an administrator to a node."""
        return call(self.address(node), method, path, body, self._headers, timeout_s)

    def status(self, node):
        """What the node tells about the cluster; Failure when it does not."""
        try:
            answer = self.ask(node, "GET", "/v1.0/cluster", timeout_s=5)
            expect(answer.status == 200, f"{node}: status {answer.status}: {answer.body[:200]!r}")
            return answer.json()
        except CallFailed as failure:
            raise Failure(f"{node}: {failure}") from failure

    def ready(self, node):
        """Whether the node wants clients; asked as the VIP asks, without a token."""
        try:
            answer = call(self.address(node), "GET", "/readyz", timeout_s=5)
        except CallFailed as failure:
            raise Failure(f"{node}: {failure}") from failure
        expect(answer.status == 200, f"{node}: status {answer.status}: {answer.body[:200]!r}")
        return True

    def has(self, node, identifier):
        """Whether the node, by its own state, has the backend."""
        answer = self.ask(node, "GET", f"/v1.0/backends/{identifier}")
        expect(answer.status in (200, 404), f"{node}: status {answer.status} for {identifier}")
        return answer.status == 200

    # === all of them ===

    def leader(self, among=NODES):
        """The node that the others follow and that says of itself that it leads; None while there is none."""
        found = {}
        for node in among:
            try:
                found[node] = self.status(node)
            except Failure:
                continue
        leaders = [node for node, status in found.items() if status["Role"] == "Leader"]
        if len(leaders) != 1 or len(found) < 2:
            return None
        identifier = found[leaders[0]]["NodeId"]
        return leaders[0] if all(status["Leader"] == identifier for status in found.values()) else None

    def wait_for_leader(self, among=NODES):
        """Waits for a leader among the nodes and returns its name."""
        return wait_until(lambda: self.leader(among), f"a leader among {', '.join(among)}")

    def formed(self):
        """The states by node, when all is as it should be: one cluster, three voters, one leader, one hash."""
        states = {node: self.status(node) for node in NODES}
        for node, state in states.items():
            voters = [member["NodeId"] for member in state["Members"] if member["IsVoter"]]
            expect(len(voters) == 3, f"{node} knows {len(voters)} voters")
            expect(len(state["Members"]) == 3, f"{node} knows {len(state['Members'])} members")
            expect(not state["Problem"], f"{node}: {state['Problem']}")
        for what in ("ClusterId", "Leader", "CatalogHash", "Revision"):
            values = {node: state[what] for node, state in states.items()}
            expect(None not in values.values() and len(set(values.values())) == 1, f"{what} differs: {values}")
        ids = {state["NodeId"] for state in states.values()}
        expect(len(ids) == 3, f"nodes share an id: {ids}")
        return states

    def wait_until_formed(self, why="three voters with one leader and one catalog"):
        """Waits for `formed` and for every node to be ready for clients, and returns the states."""
        states = wait_until(self.formed, why, pause_s=0.1)
        for node in NODES:
            wait_until(lambda node=node: self.ready(node), f"{node} to be ready")
        return states

    def wait_until_healthy(self, *services):
        """Waits until docker's own health checks have found out the same."""
        for service in services:
            wait_until(
                lambda service=service: self.compose.health(service) == "healthy",
                f"docker to find {service} healthy",
                pause_s=0.5,
            )

    def missing(self):
        """By node, the acknowledged writes that it does not have."""
        lost = {}
        for node in NODES:
            answer = self.ask(node, "GET", "/v1.0/backends", timeout_s=30)
            expect(answer.status == 200, f"{node}: status {answer.status} for the list of backends")
            present = {backend["Identifier"] for backend in answer.json()}
            absent = [identifier for identifier in self.acknowledged if identifier not in present]
            if absent:
                lost[node] = absent
        return lost

    # === writes ===

    def write(self, node):
        """Creates a backend through the node, again until it is acknowledged, and tells how long that took."""
        self._count += 1
        identifier = f"written-{self._count}"
        # Inactive: a node need not probe it.
        body = {"Identifier": identifier, "Name": identifier, "Hostname": "ollama1", "Port": 11434, "Active": False}
        started = time.monotonic()
        attempts = 0

        def attempt():
            nonlocal attempts
            attempts += 1
            try:
                answer = self.ask(node, "PUT", "/v1.0/backends", body)
            except CallFailed as failure:
                raise Failure(f"{node}: {failure}") from failure
            # A duplicate is the outcome of an attempt before, whose answer was lost or said that it is unknown.
            done = answer.status == 201 or (answer.status == 409 and attempts > 1)
            expect(done, f"{node}: status {answer.status} for a write: {answer.body[:200]!r}")
            return True

        wait_until(attempt, f"a write through {node}")
        self.acknowledged.append(identifier)
        return Written(identifier, time.monotonic() - started, attempts)
