"""Runs the acceptance scenarios: starts engines and nodes, lets real clients work, prints a line a scenario.

Called by `scripts/acceptance`, which installs the packages and builds the binaries named by OLLAMAFLOW_BIN
and SIMULATED_BACKEND_BIN. Ends with `N passed, N failed` and code 0 when nothing failed; otherwise the ends
of all logs come first.
"""

import argparse
import signal
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from clients import (
    anthropic_crossed,
    broken_streams,
    ollama_client,
    ollama_models,
    ollama_over_openai,
    openai_client,
    openai_over_ollama,
)

# For the scenarios that they add to the suites above.
from clients import ollama_tools_over_openai, openai_tools_over_ollama, responses_over_ollama  # noqa: F401
from processes import Children
from scenarios import Tally, attempt

# In this order: the streams that are broken in the end have their engines killed.
SUITES = (
    (openai_client.SUITE, openai_client.Stage),
    (ollama_client.SUITE, ollama_client.Stage),
    (ollama_models.SUITE, ollama_models.Stage),
    (ollama_over_openai.SUITE, ollama_over_openai.Stage),
    (openai_over_ollama.SUITE, openai_over_ollama.Stage),
    (anthropic_crossed.OVER_OLLAMA, anthropic_crossed.StageOverOllama),
    (anthropic_crossed.OVER_OPENAI, anthropic_crossed.StageOverOpenAi),
    (broken_streams.SUITE, broken_streams.Stage),
)
NAMES = [suite.name for suite, _ in SUITES]


@dataclass(frozen=True, eq=False)
class Run:
    """What stages need to set themselves up."""

    children: Children
    # For the nodes; gone after the run.
    directory: Path
    # For models that are made, kept from run to run.
    models: Path
    direct: bool


def main():
    """Runs the chosen suites and returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="scripts/acceptance", description="Lets real clients work through a real node."
    )
    parser.add_argument(
        "suites", nargs="*", metavar="SUITE", help=f"one of {', '.join(NAMES)}; all by default"
    )
    parser.add_argument(
        "--direct", action="store_true", help="without a node: tells an engine's fault from the node's"
    )
    parser.add_argument("--work", type=Path, required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    unknown = set(arguments.suites) - set(NAMES)
    if unknown:
        parser.error(f"unknown suite: {', '.join(sorted(unknown))}")

    # As an exception, so that the children are stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    tally = Tally()
    prefix = "ollamaflow-acceptance-"
    with (
        tempfile.TemporaryDirectory(prefix=prefix) as directory,
        Children(arguments.work / "logs") as children,
    ):
        run = Run(children, Path(directory), arguments.work / "models", arguments.direct)
        chosen = [pair for pair in SUITES if pair[0].name in (arguments.suites or NAMES)]
        # All stages before the first suite, so that their backends become healthy side by side.
        stages = [
            (suite, attempt(f"{suite.name}: the processes start", tally, partial(stage, run)))
            for suite, stage in chosen
        ]
        for suite, stage in stages:
            if stage is not None:
                suite.run(stage, tally)
        if tally.failed:
            children.print_log_tails()
    print(tally, flush=True)
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
