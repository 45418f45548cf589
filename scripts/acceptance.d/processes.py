"""The child processes of a run: each writes to its own log file, and none outlives the run in any way."""

import ctypes
import re
import signal
import subprocess
import time

from scenarios import wait_until

# How every server of a run tells its address; with the end of the line, so that a port is never read by half.
LISTENING = r"listening on (http://[0-9.]+:\d+)\s"
PR_SET_PDEATHSIG = 1
STOP_LIMIT_S = 10
LOG_TAIL_LINES = 30

_libc = ctypes.CDLL(None)


class Child:
    """One running child process and its log file."""

    def __init__(self, name, argv, log_path, cwd=None):
        self.name = name
        self.log_path = log_path
        with log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [str(word) for word in argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                preexec_fn=_die_with_parent,
            )

    def log(self):
        """What the child has written so far."""
        return self.log_path.read_text(errors="replace")

    def wait_for_line(self, pattern, limit_s=60):
        """Waits until the log matches `pattern` and returns the match; fails when the child ends before."""

        def found():
            ended = self._process.poll()
            match = re.search(pattern, self.log())
            if match is None and ended is not None:
                raise RuntimeError(f"{self.name} ended with code {ended} before it wrote {pattern!r}")
            return match

        return wait_until(found, f"{self.name} to write {pattern!r}", limit_s)

    def wait_for_url(self):
        """Waits until the child, a server, has told the address that it listens on, and returns it."""
        return self.wait_for_line(LISTENING).group(1)

    def running(self):
        """Whether the process is still there."""
        return self._process.poll() is None

    def kill(self):
        """Ends the process the hard way (SIGKILL), as a crash would, and waits until it is gone."""
        self._process.kill()
        self._process.wait()

    def terminate(self):
        """Asks the process to end (SIGTERM) without waiting for it."""
        self._process.terminate()

    def wait(self, limit_s):
        """Waits for the end of the process, and kills it when it is still there after `limit_s` seconds."""
        try:
            self._process.wait(max(limit_s, 0))
        except subprocess.TimeoutExpired:
            self.kill()


class Children:
    """All children of the run; leaving the `with` block ends them."""

    def __init__(self, log_dir):
        self._log_dir = log_dir
        self._children = []
        log_dir.mkdir(parents=True, exist_ok=True)
        for stale in log_dir.glob("*.log"):
            stale.unlink()

    def start(self, name, argv, cwd=None):
        """Starts a child that logs to `<name>.log`."""
        child = Child(name, argv, self._log_dir / f"{name}.log", cwd)
        self._children.append(child)
        return child

    def print_log_tails(self):
        """Prints the last lines of every child's log."""
        for child in self._children:
            print(f"\n--- {child.log_path} (last {LOG_TAIL_LINES} lines)", flush=True)
            print("\n".join(child.log().splitlines()[-LOG_TAIL_LINES:]), flush=True)

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        for child in self._children:
            child.terminate()
        deadline = time.monotonic() + STOP_LIMIT_S
        for child in self._children:
            child.wait(deadline - time.monotonic())


def _die_with_parent():
    """Runs in the child before exec: the kernel ends it with us, even when we are killed."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
