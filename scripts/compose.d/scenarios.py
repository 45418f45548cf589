"""What is done to the cluster, in order, and what must hold; `Scenario.run` raises when it does not."""

import time
from dataclasses import dataclass, field

from cluster import NETWORK, NODES, alias, others
from http_calls import CallFailed, call
from load import CHAT, PROMPT, Load, Tally
from waiting import Failure, expect, wait_until

WRITES_PER_NODE = 30


@dataclass
class Figures:
    """What was measured; durations in seconds."""

    formation: list = field(default_factory=list)
    elections: list = field(default_factory=list)
    writes: list = field(default_factory=list)
    forwarded_writes: list = field(default_factory=list)
    convergence: list = field(default_factory=list)
    gaps_of_lost_leaders: list = field(default_factory=list)
    gaps_of_stopped_leaders: list = field(default_factory=list)
    refusals: list = field(default_factory=list)
    returns: list = field(default_factory=list)
    healing: list = field(default_factory=list)
    client_requests: Tally = field(default_factory=Tally)


class Scenarios:
    """All scenarios; those that follow need what those before left."""

    def __init__(self, cluster, figures):
        self._cluster = cluster
        self._compose = cluster.compose
        self._figures = figures
        self.all = [
            ("three nodes form one cluster", self.formation),
            ("requests through the VIP are answered", self.clients_are_served),
            ("a write on each node is seen on all", self.writes_are_seen),
            ("the leader is killed under load", self.leader_is_killed),
            ("the leader is cut off from its peers, and healed", self.leader_is_cut_off),
            ("a follower is cut off from its peers, and healed", self.follower_is_cut_off),
            ("a node is replaced by one with an empty volume", self.node_is_replaced),
            ("all nodes are rolled under load", self.nodes_are_rolled),
            ("every acknowledged write is on every node", self.nothing_is_lost),
        ]

    # === scenarios ===

    def formation(self):
        """From nothing, all at once."""
        started = time.monotonic()
        self._compose.up()
        self._cluster.wait_until_formed()
        self._figures.formation.append(time.monotonic() - started)
        self._cluster.wait_until_healthy("vip", *NODES)

    def clients_are_served(self):
        """Every node finds backends of both kinds healthy, and the VIP finds every node."""
        for service in ("vip", *NODES):
            wait_until(lambda service=service: self._served(service), f"an answer through {service}")
        with self._load() as load:
            load.wait_for(50)

    def writes_are_seen(self):
        """Latency of writes through leader and followers, and how soon the other nodes show them."""
        leader = self._cluster.wait_for_leader()
        for _ in range(WRITES_PER_NODE):
            for node in NODES:
                written = self._cluster.write(node)
                acknowledged = time.monotonic()
                expect(self._cluster.has(node, written.identifier), f"{node} does not show its own write")
                kind = self._figures.writes if node == leader else self._figures.forwarded_writes
                kind.append(written.seconds)
                for other in others(node):
                    wait_until(
                        lambda other=other: self._cluster.has(other, written.identifier),
                        f"a write through {node} on {other}",
                        pause_s=0.001,
                    )
                    self._figures.convergence.append(time.monotonic() - acknowledged)
        self._cluster.wait_until_formed("equal hashes after the writes")

    def leader_is_killed(self):
        """SIGKILL; clients notice nothing that one retry does not mend, writes go on, the node comes back."""
        old = self._cluster.wait_for_leader()
        left = others(old)
        with self._load() as load:
            killed = time.monotonic()
            self._compose.kill(old)
            self._cluster.wait_for_leader(among=left)
            self._figures.elections.append(time.monotonic() - killed)
            for node in left:
                self._cluster.write(node)
            self._figures.gaps_of_lost_leaders.append(time.monotonic() - killed)
            load.wait_for(100)
            self._come_back(old, lambda: self._compose.start(old))
            load.wait_for(50)

    def leader_is_cut_off(self):
        """The majority elects another leader and goes on; the old one goes on proxying and reading."""
        old = self._cluster.wait_for_leader()
        with self._load() as load:
            cut = time.monotonic()
            self._compose.disconnect(old, NETWORK)
            self._cluster.wait_for_leader(among=others(old))
            self._figures.elections.append(time.monotonic() - cut)
            written = self._write_without(old)
            self._figures.gaps_of_lost_leaders.append(time.monotonic() - cut)
            self._partition(old, written, load)

    def follower_is_cut_off(self):
        """The leader goes on; the follower goes on proxying and reading."""
        leader = self._cluster.wait_for_leader()
        follower = others(leader)[0]
        with self._load() as load:
            self._compose.disconnect(follower, NETWORK)
            self._partition(follower, self._write_without(follower), load)

    def node_is_replaced(self):
        """A node whose disk is lost comes back as another member, and the old one is forgotten."""
        leader = self._cluster.wait_for_leader()
        lost = others(leader)[1]
        before = self._cluster.wait_until_formed()
        with self._load() as load:
            self._compose.stop(lost)
            self._compose.remove(lost)
            self._compose.remove_volume(lost)
            for node in others(lost):
                self._cluster.write(node)

            after = self._come_back(lost, lambda: self._compose.up(lost))
            load.wait_for(50)
        old, new = before[lost]["NodeId"], after[lost]["NodeId"]
        expect(old != new, f"{lost} took its old id {old} although its disk is empty")
        for node, state in after.items():
            members = [member["NodeId"] for member in state["Members"]]
            expect(old not in members, f"{node} still lists the lost member {old}")

    def nodes_are_rolled(self):
        """One after the other is stopped gracefully and started again, as for a new version."""
        with self._load() as load:
            for node in NODES:
                leads = self._cluster.wait_for_leader() == node
                self._compose.stop(node)
                # It has handed over before it ended: whatever a write takes longer than others is the gap.
                written = self._cluster.write(others(node)[0])
                if leads:
                    self._figures.gaps_of_stopped_leaders.append(written.seconds)
                self._come_back(node, lambda node=node: self._compose.start(node))
                load.wait_for(50)

    def nothing_is_lost(self):
        """At the end of it all, on each node."""
        self._cluster.wait_until_formed("equal hashes at the end")
        self._cluster.wait_until_healthy("vip", *NODES)
        lost = self._cluster.missing()
        expect(not lost, f"acknowledged writes are missing: {lost}")
        print(f"     {len(self._cluster.acknowledged)} acknowledged writes", flush=True)

    # === steps ===

    def _load(self):
        return Load(self._cluster.address("vip"), self._figures.client_requests)

    def _served(self, service):
        """Whether both kinds of backend answer through the service."""
        for path, body in (("/api/generate", PROMPT), ("/v1/chat/completions", CHAT)):
            try:
                answer = call(self._cluster.address(service), "POST", path, {**body, "stream": False})
            except CallFailed as failure:
                raise Failure(str(failure)) from failure
            expect(answer.status == 200, f"status {answer.status}: {answer.body[:200]!r}")
        return True

    def _come_back(self, node, start):
        """Starts a node, waits until the cluster is whole, and returns its states."""
        started = time.monotonic()
        start()
        self._cluster.moved(node)
        states = self._cluster.wait_until_formed()
        self._figures.returns.append(time.monotonic() - started)
        return states

    def _write_without(self, isolated):
        """The majority takes writes; through both of its nodes, so that one of them forwards."""
        return [self._cluster.write(node).identifier for node in others(isolated)]

    def _partition(self, isolated, written, load):
        """What must hold while `isolated` is cut off and the others have `written`; then heals it and waits until all
        are equal."""
        self._expect_refusal(isolated)
        expect(self._served(isolated), f"{isolated} does not proxy without its peers")
        listed = self._cluster.ask(isolated, "GET", "/v1.0/backends")
        expect(listed.status == 200, f"{isolated} answers {listed.status} to a read without its peers")
        shown = {backend["Identifier"] for backend in listed.json()}
        expect("ollama1" in shown, f"{isolated} forgot its backends without its peers")
        expect(not shown.intersection(written), f"{isolated} is not cut off: it has {shown.intersection(written)}")
        load.wait_for(50)
        healed = time.monotonic()
        self._compose.connect(isolated, NETWORK, alias(isolated))
        self._cluster.wait_until_formed("equal hashes after the partition")
        self._figures.healing.append(time.monotonic() - healed)
        for identifier in written:
            expect(self._cluster.has(isolated, identifier), f"{isolated} lacks {identifier} after the partition")
        self._cluster.write(isolated)
        load.wait_for(50)

    def _expect_refusal(self, isolated):
        """A write without a quorum is refused in time, with a hint when to come back."""
        body = {"Identifier": f"refused-by-{isolated}", "Hostname": "ollama1", "Port": 11434, "Active": False}
        started = time.monotonic()
        try:
            answer = self._cluster.ask(isolated, "PUT", "/v1.0/backends", body, timeout_s=25)
        except CallFailed as failure:
            raise Failure(f"{isolated} does not answer to a write without quorum: {failure}") from failure
        expect(answer.status == 503, f"{isolated} answers {answer.status} to a write without quorum: {answer.body!r}")
        self._figures.refusals.append(time.monotonic() - started)
        expect(answer.headers.get("Retry-After"), f"{isolated} gives no Retry-After with a refused write")
