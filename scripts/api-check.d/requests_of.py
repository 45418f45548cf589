"""schemathesis over the document of a running node."""

import os
import subprocess
import sys
from pathlib import Path

# What the simulated backends have: those of the document's examples.
MODELS = ["llama3.2:1b", "all-minilm", "me/mine", "simulated"]
CLIENTS = "^/(api|v1)/"
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
]


def clients(url, work):
    """The routes of clients."""
    return run(url, work, "clients", ["--include-path-regex", CLIENTS])


def admins(url, work, token):
    """All others."""
    return run(
        url,
        work,
        "admins",
        ["--exclude-path-regex", CLIENTS, "--header", f"Authorization: Bearer {token}"],
    )


def run(url, work, name, extra):
    report = work / f"{name}.txt"
    here = Path(__file__).resolve().parent
    argv = [
        str(Path(sys.executable).with_name("st")),
        *("--config-file", str(here / "schemathesis.toml")),
        *("run", f"{url}/openapi.json"),
        *("--phases", "examples,coverage,fuzzing,stateful"),
        *("--checks", ",".join(CHECKS)),
        *("--seed", os.environ.get("API_CHECK_SEED", "7")),
        *("--max-examples", os.environ.get("API_CHECK_EXAMPLES", "25")),
        # One at a time: otherwise what one request deletes decides what becomes of another, by chance.
        *("--workers", "1"),
        *("--request-timeout", "30"),
        *("--generation-database", "none"),
        *("--warnings", "off"),
        "--continue-on-failure",
        *extra,
    ]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "known_models", "NO_COLOR": "1", "COLUMNS": "120"}
    environment["PYTHONPATH"] = f"{here}{os.pathsep}{environment.get('PYTHONPATH', '')}"
    with report.open("w") as out:
        code = subprocess.run(argv, env=environment, cwd=work, stdout=out, stderr=subprocess.STDOUT).returncode
    text = report.read_text()
    # Only the summary of what went well, all of what did not.
    print(text if code else text[text.find("= SUMMARY =") :], flush=True)
    return code == 0
