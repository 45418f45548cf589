"""Runs the compose scenarios and prints a line for each, then what was measured.

Called by `scripts/compose-test`, which makes the base images and removes the project whatever happens here. Ends with
`N passed, N failed` and code 0 when nothing failed. Logs of a failed run: the directory `logs` below --work.
"""

import argparse
import json
import signal
import sys
import time
import traceback
from dataclasses import asdict
from pathlib import Path

from cluster import NODES, Cluster
from compose import CommandFailed, Compose
from http_calls import CallFailed
from scenarios import Figures, Scenarios
from waiting import Failure, spread

TOKEN = "compose-test"


def main():
    """Runs everything and returns the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/compose-test")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--project", required=True)
    parser.add_argument("--profile", required=True)
    parser.add_argument("--no-build", action="store_true")
    arguments = parser.parse_args()
    # As an exception, so that logs are saved on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))

    root = Path(__file__).resolve().parents[2]
    environment = {
        "OLLAMAFLOW_ADMIN_TOKEN": TOKEN,
        "OLLAMAFLOW_CLUSTER_SECRET": "of the compose test",
        # On the loopback address, and a port that the system picks.
        "OLLAMAFLOW_PORT": "127.0.0.1:",
        "OLLAMAFLOW_BUILD_PROFILE": arguments.profile,
        "OLLAMAFLOW_TAG": "compose-test",
    }
    compose = Compose(root, arguments.project, environment)
    figures = Figures()
    if not arguments.no_build:
        started = time.monotonic()
        print(f"building the images ({arguments.profile}), log: {arguments.work / 'build.log'}", flush=True)
        compose.build(arguments.work / "build.log")
        print(f"built in {time.monotonic() - started:.0f} s", flush=True)
    cluster = Cluster(compose, TOKEN)
    whole = False
    try:
        passed, failed, skipped = _run_all(Scenarios(cluster, figures).all)
        whole = failed == 0
        if whole:
            memory = {node: compose.memory_bytes(node) / 2**20 for node in NODES}
            print("resident memory: " + ", ".join(f"{node} {mib:.0f} MiB" for node, mib in memory.items()))
    finally:
        if not whole:
            compose.save_logs(arguments.work / "logs")
            print(f"logs: {arguments.work / 'logs'}", flush=True)
    _report(figures, arguments.work / "summary.json")
    tail = f", {skipped} skipped" if skipped else ""
    print(f"{passed} passed, {failed} failed{tail}", flush=True)
    return 1 if failed else 0


def _run_all(scenarios):
    """Runs them in order. After one that failed the rest has nothing to stand on."""
    for place, (name, scenario) in enumerate(scenarios):
        started = time.monotonic()
        try:
            scenario()
        except (Failure, CallFailed, CommandFailed) as failure:
            print(f"FAIL {name} ({time.monotonic() - started:.1f} s)\n     {failure}", flush=True)
        except Exception:
            print(f"FAIL {name} ({time.monotonic() - started:.1f} s)\n{traceback.format_exc()}", flush=True)
        else:
            print(f"PASS {name} ({time.monotonic() - started:.1f} s)", flush=True)
            continue
        for later, _ in scenarios[place + 1 :]:
            print(f"SKIP {later}", flush=True)
        return place, 1, len(scenarios) - place - 1
    return len(scenarios), 0, 0


def _report(figures, path):
    """Prints what was measured and keeps the samples in a file."""
    lines = [
        ("from nothing to a cluster", figures.formation),
        ("a new leader", figures.elections),
        ("writes after a lost leader", figures.gaps_of_lost_leaders),
        ("writes after a stopped leader", figures.gaps_of_stopped_leaders),
        ("a write refused when cut off", figures.refusals),
        ("healed after a partition", figures.healing),
        ("a node is back", figures.returns),
        ("writes through the leader", figures.writes),
        ("writes through a follower", figures.forwarded_writes),
        ("seen on the other nodes", figures.convergence),
    ]
    print()
    for what, samples in lines:
        print(f"{what:<30}{spread(samples)}")
    print(f"{'clients through the VIP':<30}{figures.client_requests}")
    for example in figures.client_requests.examples:
        print(f"    {example}")
    print(flush=True)
    path.write_text(json.dumps(asdict(figures), indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
