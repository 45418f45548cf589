"""Runs the acceptance scenarios: starts engines and nodes, lets real clients work, prints a line a scenario.

Called by `scripts/acceptance`, which installs the packages and builds the binaries named by OLLAMAFLOW_BIN
and SIMULATED_BACKEND_BIN. Ends with `N passed, N failed` and code 0 when nothing failed; otherwise the ends
of all logs come first.
"""

import argparse
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path

from clients import ollama_client, openai_client
from processes import Children
from scenarios import Tally, attempt

CLIENTS = {module.SUITE.client: module for module in (openai_client, ollama_client)}


def main():
    """Runs the chosen suites and returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="scripts/acceptance", description="Lets real clients work through a real node."
    )
    parser.add_argument(
        "clients", nargs="*", metavar="CLIENT", help=f"one of {', '.join(CLIENTS)}; all by default"
    )
    parser.add_argument(
        "--direct", action="store_true", help="without a node: tells an engine's fault from the node's"
    )
    parser.add_argument("--work", type=Path, required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    unknown = set(arguments.clients) - set(CLIENTS)
    if unknown:
        parser.error(f"unknown client: {', '.join(sorted(unknown))}")

    # As an exception, so that the children are stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    tally = Tally()
    prefix = "ollamaflow-acceptance-"
    with (
        tempfile.TemporaryDirectory(prefix=prefix) as directory,
        Children(arguments.work / "logs") as children,
    ):
        stages = {}
        # All stages before the first suite, so that their backends become healthy side by side.
        for module in [CLIENTS[name] for name in arguments.clients or CLIENTS]:
            start = partial(
                module.Stage, children, Path(directory), arguments.work / "models", arguments.direct
            )
            stages[module] = attempt(f"{module.SUITE.client}: the processes start", tally, start)
        for module, stage in stages.items():
            if stage is not None:
                module.SUITE.run(stage, tally)
        if tally.failed:
            children.print_log_tails()
    print(tally, flush=True)
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
