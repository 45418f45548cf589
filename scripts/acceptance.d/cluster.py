"""Three nodes that form a cluster, each with its own directory, all born with the same frontends and
backends."""

import os
import socket

import httpx
import node
from scenarios import wait_until

NODES = 3
SECRET = "a-secret-for-the-acceptance"
FORMED_LIMIT_S = 60


def start(children, name, directory, backends, frontends):
    """Starts the nodes and waits until all of them vote. `backends` are engines that are ready; `frontends`
    are objects as they stand in a settings file."""
    objects = {
        "Frontends": frontends,
        "Backends": [backend.backend() | node.UNLIMITED for backend in backends],
    }
    addresses = [_own_address(place) for place in range(NODES)]
    starting = [
        node.launch(
            children,
            f"{name}-{place}",
            directory,
            objects,
            *("--cluster-listen", address, "--advertise", address),
            *("--peers", ",".join(addresses), "--cluster-secret", SECRET, "--data-directory", "data"),
        )
        for place, address in enumerate(addresses)
    ]
    nodes = [listens() for listens in starting]
    wait_until(lambda: all(map(_sees_all, nodes)), "a cluster of three voters", FORMED_LIMIT_S)
    return nodes


def _sees_all(member):
    """Whether the node votes in a cluster with a leader, and knows that all vote."""
    headers = {"Authorization": f"Bearer {node.ADMIN_TOKEN}"}
    try:
        status = httpx.get(f"{member.url}/v1.0/cluster", headers=headers).json()
    except httpx.TransportError:
        return False
    voters = [one["NodeId"] for one in status.get("Members", []) if one["IsVoter"]]
    return len(voters) == NODES and status.get("NodeId") in voters and status.get("Leader") in voters


def _own_address(place):
    """An address for a node to listen at for the others: a loopback address that no other process has, so
    that its port stays free until the node has it."""
    number = os.getpid()
    host = f"127.{64 + (number >> 16) % 64}.{(number >> 8) % 256}.{1 + (number * NODES + place) % 254}"
    with socket.socket() as listener:
        listener.bind((host, 0))
        return f"{host}:{listener.getsockname()[1]}"
