"""The compose project under test: its containers, networks and volumes, by the docker command line.

Knows nothing about what runs in the containers.
"""

import os
import re
import subprocess
import time

from waiting import Failure, wait_until

COMMAND_LIMIT_S = 120
# A build from nothing compiles some 300 crates.
BUILD_LIMIT_S = 3600


class CommandFailed(Exception):
    """A docker command that failed; the message has the end of its output."""


class Compose:
    """One compose project, from the file in `root` and the test's own file on top of it."""

    def __init__(self, root, project, environment):
        self.project = project
        self._root = root
        self._environment = {**os.environ, **environment, "COMPOSE_PROJECT_NAME": project}
        self._program = _compose_program()
        self._files = ["-f", "docker-compose.yml", "-f", "scripts/compose.d/test.yml"]

    # === whole project ===

    def build(self, log_path):
        """Builds the images; the output goes to `log_path`. Tries a second time: the classic builder was seen to lose a
        layer that it had just made, and what was built the first time costs nothing."""
        with log_path.open("w") as log:
            for _ in range(2):
                done = subprocess.run(
                    [*self._program, *self._files, "build"],
                    cwd=self._root,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    timeout=BUILD_LIMIT_S,
                    check=False,
                )
                if done.returncode == 0:
                    return
        raise CommandFailed(f"the images do not build:\n{_tail(log_path.read_text(errors='replace'))}")

    def up(self, *services):
        """Creates and starts `services`, or all of them."""
        self._compose("up", "-d", "--no-build", *services)

    def remove(self, service):
        """Removes the container of a stopped service, and leaves its named volumes."""
        self._compose("rm", "-f", service)

    def save_logs(self, directory):
        """Writes the logs and the state of every container below `directory`."""
        directory.mkdir(parents=True, exist_ok=True)
        for service, identifier in self._containers().items():
            logs = _run(["docker", "logs", "--timestamps", identifier], check=False, merge=True)
            (directory / f"{service}.log").write_text(logs)
            (directory / f"{service}.json").write_text(_run(["docker", "inspect", identifier], check=False))

    # === one service ===

    def kill(self, service):
        """Ends a container the hard way (SIGKILL)."""
        self._docker("kill", "-s", "KILL", self.container(service))

    def stop(self, service):
        """Ends a container gracefully, within its grace period."""
        self._compose("stop", service)

    def start(self, service):
        """Starts a stopped container again."""
        self._docker("start", self.container(service))

    def container(self, service):
        """The id of the service's container, running or not."""
        found = self._containers().get(service)
        if found is None:
            raise Failure(f"{service} has no container")
        return found

    def published(self, service, port):
        """Host and port on this machine that lead to the container's `port`; they change with every start."""

        def look():
            text = _run(["docker", "port", self.container(service), f"{port}/tcp"], check=False)
            return re.search(r"^(127\.0\.0\.1):(\d+)$", text, re.MULTILINE)

        match = wait_until(look, f"a published port of {service}")
        return match.group(1), int(match.group(2))

    def health(self, service):
        """What docker's health check says: starting, healthy, unhealthy; or the state of what does not run."""
        form = "{{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{end}}"
        status, _, health = self._docker("inspect", "-f", form, self.container(service)).strip().partition(" ")
        return health if status == "running" else status

    def memory_bytes(self, service):
        """The resident memory of the container's first process."""
        pid = self._docker("inspect", "-f", "{{.State.Pid}}", self.container(service)).strip()
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            match = re.search(r"^VmRSS:\s+(\d+) kB", status.read(), re.MULTILINE)
        return int(match.group(1)) * 1024 if match else 0

    # === networks and volumes ===

    def disconnect(self, service, network):
        """Takes the container off the network, as pulling its cable would."""
        self._docker("network", "disconnect", f"{self.project}_{network}", self.container(service))

    def connect(self, service, network, alias):
        """Puts the container back on the network, under its alias there."""
        self._docker("network", "connect", "--alias", alias, f"{self.project}_{network}", self.container(service))

    def remove_volume(self, volume):
        """Removes a volume of the project with everything in it."""
        self._docker("volume", "rm", f"{self.project}_{volume}")

    # === commands ===

    def _containers(self):
        """Service name to container id, running or not."""
        form = '{{.Label "com.docker.compose.service"}} {{.ID}}'
        label = f"label=com.docker.compose.project={self.project}"
        lines = _run(["docker", "ps", "-a", "--no-trunc", "--filter", label, "--format", form]).splitlines()
        return dict(line.split(" ", 1) for line in lines)

    def _compose(self, *arguments):
        return _run([*self._program, *self._files, *arguments], cwd=self._root, env=self._environment)

    @staticmethod
    def _docker(*arguments):
        return _run(["docker", *arguments])


def _compose_program():
    """Compose as docker's plugin, or the separate program of old."""
    for program in (["docker", "compose"], ["docker-compose"]):
        try:
            done = subprocess.run([*program, "version"], capture_output=True, timeout=COMMAND_LIMIT_S, check=False)
        except FileNotFoundError:
            continue
        if done.returncode == 0:
            return program
    raise CommandFailed("there is neither `docker compose` nor docker-compose; install the package docker-compose")


def _run(argv, check=True, merge=False, cwd=None, env=None):
    started = time.monotonic()
    done = subprocess.run(
        argv,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if merge else subprocess.PIPE,
        text=True,
        errors="replace",
        timeout=COMMAND_LIMIT_S,
        check=False,
    )
    if check and done.returncode != 0:
        seconds = time.monotonic() - started
        output = _tail((done.stdout or "") + (done.stderr or ""))
        raise CommandFailed(f"`{' '.join(argv)}` failed after {seconds:.1f} s: {output}")
    return done.stdout


def _tail(text, lines=30):
    return "\n".join(text.strip().splitlines()[-lines:])
