"""llama.cpp's own HTTP server (the code of `llama-server`, prebuilt in the wheel `xllamacpp`) as one process.

Serves one model on a loopback port that the OS picks, writes `listening on URL` when it is ready, and ends on
SIGTERM.
"""

import argparse
import signal

import xllamacpp


def parameters(arguments):
    """The server's settings: one thread, plus the endpoints through which the scenarios look inside."""
    chosen = xllamacpp.CommonParams()
    chosen.model.path = arguments.model
    chosen.model_alias = {arguments.alias}
    chosen.hostnames = ["127.0.0.1"]
    chosen.port = 0
    chosen.n_parallel = arguments.parallel
    chosen.n_ctx = arguments.context
    chosen.n_gpu_layers = 0
    chosen.cpuparams.n_threads = 1
    chosen.cpuparams_batch.n_threads = 1
    chosen.use_jinja = True
    chosen.warmup = False
    chosen.endpoint_metrics = True
    chosen.endpoint_slots = True
    if arguments.embedding:
        chosen.embedding = True
        chosen.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    return chosen


def main():
    """Serves until a signal asks to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="path of a GGUF file")
    parser.add_argument("--alias", required=True, help="the model's name on the API")
    parser.add_argument("--parallel", type=int, default=2, help="slots, which share the context")
    parser.add_argument("--context", type=int, default=4096, help="tokens of context in all")
    parser.add_argument("--embedding", action="store_true", help="serve embeddings, and nothing else")
    stop = {signal.SIGTERM, signal.SIGINT}
    # Blocked before the server starts its threads: they inherit it, and the wait below is the only receiver.
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    server = xllamacpp.Server(parameters(parser.parse_args()))
    print("listening on", server.listening_address, flush=True)
    signal.sigwait(stop)


if __name__ == "__main__":
    main()
