"""The real `ollama` client manages models through a cluster of three nodes over four backends, as it does at
one server.

Every scenario lets the client do the same at a server of its own and through the cluster, there every call
through the next node, and compares what the client sees: names, statuses in order, progress, errors. What a
single server must tell is said, too, so that two wrongs are no right. The servers are simulated backends,
which hold blobs and models. Scenarios build on each other, as the calls of a person do.
"""

import contextlib
import hashlib
import itertools
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import cluster
import engines
import httpx
import ollama
import openai
from scenarios import Suite, expect, expect_equal, expect_error, wait_until

SUITE = Suite("ollama-models")

MODEL, PULLED, GONE = "llama3.2:1b", "qwen2.5:0.5b", "gone:1b"
BACKENDS = 4
# A pull takes long enough to be seen.
OPTIONS = ("--pull-steps", "5", "--pull-step-ms", "20", "--unpullable", GONE)
# How long what was done through one node may take to show through the others.
SETTLED_LIMIT_S = 15
WEIGHTS = b"GGUF" + bytes(range(256)) * 1024


class Stage:
    """The server, and the cluster with its backends; with `direct`, the server alone."""

    def __init__(self, run):
        self.direct = run.direct
        self.server = engines.start_simulator(run.children, "models-server", MODEL, *OPTIONS)
        self.backends = []
        if not run.direct:
            names = [f"models-{letter}" for letter in "abcd"[:BACKENDS]]
            self.backends = [engines.start_simulator(run.children, name, MODEL, *OPTIONS) for name in names]
        for engine in (self.server, *self.backends):
            engine.wait_ready()
        self.at_server = Clients([self.server.url])
        if run.direct:
            return
        frontend = {
            "Identifier": "frontend1",
            "Name": "for any host",
            "Hostname": "*",
            "Backends": [backend.identifier for backend in self.backends],
            "AllowModelManagement": True,
        }
        self.nodes = cluster.start(run.children, "node-models", run.directory, self.backends, [frontend])
        self.through_cluster = Clients([member.url for member in self.nodes])

    def both(self, act, what):
        """Lets `act(clients)` happen at the server and through the cluster; fails when what it returns is not
        the same, and returns it."""
        direct = act(self.at_server)
        if not self.direct:
            expect_equal(act(self.through_cluster), direct, f"{what} through the cluster")
        return direct

    def both_settle(self, look, what):
        """The same for `look(clients)`, which changes nothing: what another node did may show a little later.
        In the end all nodes show it."""
        direct = look(self.at_server)
        for member in [] if self.direct else self.nodes:
            clients, seen = Clients([member.url]), [None]

            def same(clients=clients, seen=seen):
                with contextlib.suppress(ollama.ResponseError):
                    seen[0] = look(clients)
                return seen[0] == direct

            with contextlib.suppress(TimeoutError):
                wait_until(same, what, SETTLED_LIMIT_S)
            expect_equal(seen[0], direct, f"{what} through {member.url}")
        return direct


class Clients:
    """Clients of the same models at several addresses, which take turns."""

    def __init__(self, urls):
        self._turns = itertools.cycle([(url, ollama.Client(host=url, timeout=30)) for url in urls])

    @property
    def ollama(self):
        """The client whose turn it is."""
        return next(self._turns)[1]

    @property
    def url(self):
        """The address whose turn it is."""
        return next(self._turns)[0]

    @property
    def openai(self):
        """A client of the other API."""
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="sk-acceptance", max_retries=0, timeout=30)


def listed(clients):
    """What a client may rely on in the list of models, by name."""
    models = clients.ollama.list().models
    expect(all(model.modified_at for model in models), "no time of modification")
    by_name = {model.model: (model.digest, model.size, model.details) for model in models}
    expect_equal(len(by_name), len(models), "models with a name of their own")
    return by_name


def names(clients):
    """The names in the list of models, in order of the alphabet."""
    return sorted(listed(clients))


def progress(stream):
    """What a stream of progress tells, whoever merged it: its statuses in the order in which each comes
    first. Fails if a layer's progress is not one that a client can draw."""
    lines = list(stream)
    layers = {}
    for line in lines:
        if line.digest:
            layers.setdefault(line.digest, []).append((line.total, line.completed or 0))
    for digest, steps in layers.items():
        totals, completed = {total for total, _ in steps}, [done for _, done in steps]
        expect_equal(len(totals), 1, f"totals of {digest}: {totals}")
        expect(completed == sorted(completed), f"progress of {digest} goes back: {completed}")
        expect_equal({completed[-1]}, totals, f"what is complete of {digest} in the end")
    expect_equal(lines[-1].status, "success", "last status")
    return [*dict.fromkeys(line.status for line in lines)]


def failure(call, *, words):
    """The status of the error that the call ends with, which must have these words in its message: through
    the cluster it may name backends beside them."""
    error = expect_error(ollama.ResponseError, call)
    expect(words in error.error, f"{words!r} is not in {error.error!r}")
    return error.status_code


@SUITE.scenario("the nodes find their backends healthy", needs_node=True)
def healthy(stage):
    for member in stage.nodes:
        member.wait_healthy()


@SUITE.scenario("list and show tell what the server tells")
def list_and_show(stage):
    models = stage.both_settle(listed, "the list")
    expect_equal([*models], [MODEL], "models")

    def show(clients):
        shown = clients.ollama.show(MODEL)
        return shown.details, shown.modelinfo, shown.capabilities, shown.template

    expect("completion" in stage.both(show, "show")[2], "no capability")
    missing = stage.both(
        lambda clients: failure(lambda: clients.ollama.show("x"), words="'x'"), "show of nothing"
    )
    expect_equal(missing, 404, "status")


@SUITE.scenario("the version is one of an Ollama")
def version(stage):
    def ask(clients):
        return httpx.get(f"{clients.url}/api/version").json()

    expect(stage.both(ask, "the version")["version"], "no version")


@SUITE.scenario("a pull shows its progress and the model is everywhere")
def pull(stage):
    def act(clients):
        return progress(clients.ollama.pull(PULLED, stream=True))

    statuses = stage.both(act, "the statuses of a pull")
    expect_equal(statuses[0], "pulling manifest", "first status")
    expect_equal(statuses[-3:], ["verifying sha256 digest", "writing manifest", "success"], "last statuses")
    expect_equal(sorted(stage.both_settle(listed, "the list")), [MODEL, PULLED], "models")


@SUITE.scenario("a pull of what is there says so, and without a stream only how it ended")
def pull_again(stage):
    stage.both(
        lambda clients: progress(clients.ollama.pull(PULLED, stream=True)), "the statuses of a second pull"
    )
    ended = stage.both(lambda clients: clients.ollama.pull(PULLED).status, "the end of a pull")
    expect_equal(ended, "success", "status")


@SUITE.scenario("a pull of what no registry has fails in its stream and without one")
def pull_of_nothing(stage):
    words = "pull model manifest: file does not exist"

    def streamed(clients):
        stream, statuses = clients.ollama.pull(GONE, stream=True), []
        status = failure(lambda: statuses.extend(line.status for line in stream), words=words)
        return statuses[0], "success" in statuses, status

    # Within a stream there is no status but that of the stream; the client says -1 then.
    expect_equal(stage.both(streamed, "a failed pull"), ("pulling manifest", False, -1), "what fails")
    whole = stage.both(
        lambda clients: failure(lambda: clients.ollama.pull(GONE), words=words), "the same whole"
    )
    expect_equal(whole, 500, "status")
    expect(GONE not in stage.both_settle(names, "the list"), "what is nowhere is listed")


@SUITE.scenario("an empty generation loads a model, ps tells of it until it is unloaded")
def load_and_unload(stage):
    def loaded(clients):
        models = clients.ollama.ps().models
        for model in models:
            left = (model.expires_at - datetime.now(UTC)).total_seconds()
            expect(0 < left < 360, f"expires in {left} s")
        return sorted((model.model, model.digest, model.size, model.context_length) for model in models)

    def empty(keep_alive):
        return lambda clients: clients.ollama.generate(PULLED, "", keep_alive=keep_alive).done_reason

    stage.both_settle(loaded, "ps before")
    expect_equal(stage.both(empty("5m"), "the end of a load"), "load", "done_reason")
    (model,) = stage.both_settle(loaded, "ps after the load")
    expect_equal(model[0], PULLED, "loaded model")
    expect_equal(stage.both(empty(0), "the end of an unload"), "unload", "done_reason")
    expect_equal(stage.both_settle(loaded, "ps after the unload"), [], "loaded models")


@SUITE.scenario("a copy is a model like its source")
def copy(stage):
    copied = stage.both(lambda clients: clients.ollama.copy(PULLED, "me/copy").status, "the answer of a copy")
    expect_equal(copied, "success", "status")
    models = stage.both_settle(listed, "the list")
    expect_equal(models["me/copy:latest"], models[PULLED], "the copy")

    def nothing(clients):
        return failure(lambda: clients.ollama.copy("x", "y"), words="not found")

    expect_equal(stage.both(nothing, "a copy of nothing"), 404, "status")


@SUITE.scenario("a model is created from another one")
def create_from(stage):
    def streamed(clients):
        request = {"from_": MODEL, "system": "be kind", "parameters": {"temperature": 1}, "stream": True}
        return progress(clients.ollama.create("made-from", **request))

    statuses = stage.both(streamed, "the statuses of a creation")
    kinds = {status.split(" sha256:")[0] for status in statuses}
    expect_equal(
        kinds, {"using existing layer", "creating new layer", "writing manifest", "success"}, "statuses"
    )

    def whole(clients):
        return clients.ollama.create("made-too", from_=MODEL, system="be brief").status

    expect_equal(stage.both(whole, "the end of a creation"), "success", "status")
    models = stage.both_settle(names, "the list")
    expect({"made-from:latest", "made-too:latest"} <= {*models}, f"not all created: {models}")


@SUITE.scenario("a model is created from an uploaded file")
def create_from_file(stage):
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "weights.gguf"
        path.write_bytes(WEIGHTS)
        digest = stage.both(lambda clients: clients.ollama.create_blob(path), "the digest")
    expect_equal(digest, f"sha256:{hashlib.sha256(WEIGHTS).hexdigest()}", "digest")

    def streamed(clients):
        return progress(clients.ollama.create("made-of", files={"weights.gguf": digest}, stream=True))

    expect("parsing GGUF" in stage.both(streamed, "the statuses"), "the file is not read")
    models = stage.both_settle(listed, "the list")
    expect_equal(models["made-of:latest"][1], len(WEIGHTS), "size")
    answer = stage.both(lambda clients: clients.ollama.generate("made-of", "hi").response, "what it says")
    expect(answer, "it says nothing")


@SUITE.scenario("a creation from nothing, or from a file that was not uploaded, fails")
def create_from_nothing(stage):
    def nothing(clients):
        return failure(lambda: clients.ollama.create("x"), words="neither 'from' or 'files' was specified")

    expect_equal(stage.both(nothing, "a creation from nothing"), 400, "status")
    files = {"weights.gguf": f"sha256:{'0' * 64}"}

    def missing(clients):
        stream = clients.ollama.create("x", files=files, stream=True)
        return failure(lambda: list(stream), words="no such file or directory")

    stage.both(missing, "a creation from a missing file")
    expect("x:latest" not in stage.both_settle(names, "the list"), "what was not created is listed")


@SUITE.scenario("blobs are asked for, uploaded twice and refused as Ollama does")
def blobs(stage):
    right, wrong = (f"sha256:{hashlib.sha256(text).hexdigest()}" for text in (b"right", b"wrong"))

    def act(clients):
        def blob(method, digest, content=None):
            answer = httpx.request(method, f"{clients.url}/api/blobs/{digest}", content=content)
            return answer.status_code, answer.text if answer.is_error and method != "HEAD" else ""

        return [
            blob("HEAD", right),
            blob("POST", right, b"right"),
            blob("HEAD", right),
            blob("POST", right, b"right"),
            blob("HEAD", "sha256:12"),
            blob("POST", wrong, b"right")[0],
            blob("HEAD", wrong),
        ]

    statuses = [one if isinstance(one, int) else one[0] for one in stage.both(act, "the answers for blobs")]
    expect_equal(statuses, [404, 201, 200, 200, 400, 400, 404], "statuses")


@SUITE.scenario("a push without permission fails in its stream and without one")
def push(stage):
    def streamed(clients):
        stream, statuses = clients.ollama.push(PULLED, stream=True), []
        status = failure(lambda: statuses.extend(line.status for line in stream), words="unauthorized")
        return [*dict.fromkeys(statuses)], status

    statuses, status = stage.both(streamed, "a push")
    expect_equal(
        (statuses[0], statuses[-1], status), ("retrieving manifest", "pushing manifest", -1), "what fails"
    )
    stage.both(
        lambda clients: failure(lambda: clients.ollama.push(PULLED), words="unauthorized"), "the same whole"
    )


@SUITE.scenario("the openai client lists and retrieves the same models")
def openai_lists(stage):
    def models(clients):
        return sorted(model.id for model in clients.openai.models.list())

    expect(PULLED in stage.both_settle(models, "the list"), "the pulled model is not listed")

    def retrieved(clients):
        model = clients.openai.models.retrieve(PULLED)
        return model.id, model.object, model.owned_by

    expect_equal(stage.both_settle(retrieved, "a model"), (PULLED, "model", "library"), "model")

    def missing(clients):
        return expect_error(openai.NotFoundError, lambda: clients.openai.models.retrieve("x")).status_code

    stage.both(missing, "a model that is not there")


@SUITE.scenario("every node serves the pulled model")
def generate(stage):
    for _ in range(cluster.NODES):
        said = stage.both(lambda clients: clients.ollama.generate(PULLED, "hi").response, "what it says")
        expect(said, "it says nothing")


@SUITE.scenario("a deletion is one everywhere")
def delete(stage):
    def act(clients):
        return clients.ollama.delete("made-from").status

    expect_equal(stage.both(act, "the answer of a deletion"), "success", "status")
    expect("made-from:latest" not in stage.both_settle(names, "the list"), "it is still listed")

    def again(clients):
        return failure(lambda: clients.ollama.delete("made-from"), words="not found")

    expect_equal(stage.both(again, "a second deletion"), 404, "status")


@SUITE.scenario("in the end each backend has what the one server has", needs_node=True)
def same_everywhere(stage):
    expected = listed(stage.at_server)
    expect(len(expected) >= 5, f"too few models to tell: {[*expected]}")
    for backend in stage.backends:
        expect_equal(listed(Clients([backend.url])), expected, f"models of {backend.identifier}")
