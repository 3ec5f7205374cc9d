"""Camelid's engine and llama.cpp by turns, on the same cores and the same GGUF file.

    npm install --ignore-scripts node-llama-cpp@3.22.1   # its libllama, with a build per processor
    python benches/peers/llama_cpp.py MODEL.gguf --libraries node_modules/@node-llama-cpp/linux-x64/bins/linux-x64

Each side is a process that answers one line of JSON at a time, and rests while the other one runs. A run
reads the prompts of all streams and then makes tokens greedily, all streams in one batch: both sides through
their C or Rust interface, the choice of the likeliest token included. What stands in the table are medians
over the rounds, with the smallest and the largest; the prompt's rate counts the time to the first token of
all streams. Core-seconds are what a process worked: where other processes keep the cores busy, compare those
with one thread each (`--threads 1`), since llama.cpp's threads wait for each other by spinning.

The structures below are those of llama.cpp's release v0.5.0 (`include/llama.h`), which node-llama-cpp 3.22.1
ships; another release is refused by its file name.
"""

import argparse
import ctypes
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RELEASE = "v0.5.0"
STREAMS = (1, 8)
# JSON that does not come to its end while it is measured.
ENDLESS = {"type": "array", "minItems": 1000, "items": {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}}


class ModelParams(ctypes.Structure):
    _fields_ = (
        [(name, ctypes.c_void_p) for name in ("devices", "tensor_buft_overrides")]
        + [(name, ctypes.c_int32) for name in ("n_gpu_layers", "split_mode", "load_mode", "lazy_mode", "main_gpu")]
        + [
            (name, ctypes.c_void_p)
            for name in ("tensor_split", "progress_callback", "progress_callback_user_data", "kv_overrides")
        ]
        + [
            (name, ctypes.c_bool)
            for name in ("vocab_only", "check_tensors", "use_extra_bufts", "no_host", "no_alloc", "load_mtp")
        ]
    )


class ContextParams(ctypes.Structure):
    _fields_ = (
        [
            (name, ctypes.c_uint32)
            for name in (
                "n_ctx n_batch n_ubatch n_seq_max n_rs_seq n_outputs_max n_outputs_max_per_seq".split()
            )
        ]
        + [
            (name, ctypes.c_int32)
            for name in (
                "n_threads n_threads_batch ctx_type rope_scaling_type pooling_type attention_type flash_attn_type"
            ).split()
        ]
        + [
            (name, ctypes.c_float)
            for name in (
                "rope_freq_base rope_freq_scale yarn_ext_factor yarn_attn_factor yarn_beta_fast yarn_beta_slow"
            ).split()
        ]
        + [("yarn_orig_ctx", ctypes.c_uint32), ("defrag_thold", ctypes.c_float)]
        + [("cb_eval", ctypes.c_void_p), ("cb_eval_user_data", ctypes.c_void_p)]
        + [("type_k", ctypes.c_int32), ("type_v", ctypes.c_int32)]
        + [("abort_callback", ctypes.c_void_p), ("abort_callback_data", ctypes.c_void_p)]
        + [
            (name, ctypes.c_bool)
            for name in ("embeddings", "offload_kqv", "no_perf", "op_offload", "swa_full", "kv_unified")
        ]
        + [("samplers", ctypes.c_void_p), ("n_samplers", ctypes.c_size_t), ("ctx_other", ctypes.c_void_p)]
    )


class Batch(ctypes.Structure):
    _fields_ = [
        ("n_tokens", ctypes.c_int32),
        ("token", ctypes.POINTER(ctypes.c_int32)),
        ("embd", ctypes.POINTER(ctypes.c_float)),
        ("pos", ctypes.POINTER(ctypes.c_int32)),
        ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
        ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
        ("logits", ctypes.POINTER(ctypes.c_int8)),
    ]


class LlamaCpp:
    """llama.cpp through its C interface."""

    def __init__(self, libraries, model, threads, streams, positions):
        import numpy

        self.numpy = numpy
        libraries = Path(libraries).resolve()
        found = libraries / f"libllama.{RELEASE}.so"
        if not found.exists():
            raise SystemExit(f"{libraries}: no libllama.{RELEASE}.so; the structures here are of that release")
        for name in ("libggml-base.so", f"libggml.{RELEASE}.so"):
            self.ggml = ctypes.CDLL(str(libraries / name), mode=ctypes.RTLD_GLOBAL)
        lib = self.lib = ctypes.CDLL(str(found), mode=ctypes.RTLD_GLOBAL)
        self.ggml.ggml_backend_load_all_from_path(str(libraries).encode())
        # Its log is not for the caller, who reads answers alone.
        self.quiet = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)
        lib.llama_log_set(self.quiet, None)
        lib.llama_backend_init()
        lib.llama_model_default_params.restype = ModelParams
        lib.llama_context_default_params.restype = ContextParams
        lib.llama_model_load_from_file.restype = ctypes.c_void_p
        lib.llama_model_load_from_file.argtypes = [ctypes.c_char_p, ModelParams]
        lib.llama_init_from_model.restype = ctypes.c_void_p
        lib.llama_init_from_model.argtypes = [ctypes.c_void_p, ContextParams]
        lib.llama_decode.argtypes = [ctypes.c_void_p, Batch]
        lib.llama_get_logits_ith.restype = ctypes.POINTER(ctypes.c_float)
        lib.llama_get_logits_ith.argtypes = [ctypes.c_void_p, ctypes.c_int32]
        lib.llama_get_memory.restype = ctypes.c_void_p
        lib.llama_get_memory.argtypes = [ctypes.c_void_p]
        lib.llama_memory_clear.argtypes = [ctypes.c_void_p, ctypes.c_bool]
        lib.llama_model_get_vocab.restype = ctypes.c_void_p
        lib.llama_model_get_vocab.argtypes = [ctypes.c_void_p]
        lib.llama_vocab_n_tokens.argtypes = [ctypes.c_void_p]
        lib.llama_batch_init.restype = Batch
        self.model = lib.llama_model_load_from_file(str(model).encode(), lib.llama_model_default_params())
        if not self.model:
            raise SystemExit(f"{model}: llama.cpp cannot load it")
        self.vocab = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(self.model))
        params = lib.llama_context_default_params()
        params.n_ctx, params.n_seq_max = streams * positions, streams
        params.n_batch, params.n_ubatch = max(2048, streams * positions), 512
        params.n_threads = params.n_threads_batch = threads
        params.no_perf = True
        self.context = lib.llama_init_from_model(self.model, params)
        if not self.context:
            raise SystemExit("llama.cpp makes no context")
        self.batch = lib.llama_batch_init(streams * positions, 0, 1)

    def decode(self, rows):
        """Rows of (token, position, stream, logits wanted): the likeliest next token of those wanted."""
        batch = self.batch
        batch.n_tokens = len(rows)
        for i, (token, position, stream, wanted) in enumerate(rows):
            batch.token[i], batch.pos[i], batch.n_seq_id[i] = token, position, 1
            batch.seq_id[i][0], batch.logits[i] = stream, wanted
        if self.lib.llama_decode(self.context, batch) != 0:
            raise RuntimeError("llama_decode failed")
        logits = lambda i: self.lib.llama_get_logits_ith(self.context, i)
        return [
            int(self.numpy.ctypeslib.as_array(logits(i), shape=(self.vocab,)).argmax())
            for i, row in enumerate(rows)
            if row[3]
        ]

    def run(self, prompts, new):
        self.lib.llama_memory_clear(self.lib.llama_get_memory(self.context), True)
        rows = [
            (token, position, stream, position + 1 == len(prompt))
            for stream, prompt in enumerate(prompts)
            for position, token in enumerate(prompt)
        ]
        start, worked = time.perf_counter(), time.process_time()
        tokens = self.decode(rows)
        first, worked_first = time.perf_counter(), time.process_time()
        made = [[token] for token in tokens]
        for step in range(new - 1):
            rows = [(token, len(prompts[s]) + step, s, True) for s, token in enumerate(tokens)]
            tokens = self.decode(rows)
            for made_of, token in zip(made, tokens):
                made_of.append(token)
        end, worked_end = time.perf_counter(), time.process_time()
        return {
            "first": first - start,
            "rest": end - first,
            "worked_first": worked_first - worked,
            "worked_rest": worked_end - worked_first,
            "ids": made,
        }


def peak_mib():
    with open("/proc/self/status") as status:
        kib = next(line.split()[1] for line in status if line.startswith("VmHWM"))
    return int(kib) / 1024


def prompts(streams, length):
    """Any tokens will do: no two prompts begin alike, so that nothing is shared."""
    return [[100 + (i * i * 7 + i * 31 + s * 1009) % 40000 for i in range(length)] for s in range(streams)]


def serve(args):
    positions = args.prompt + args.new
    peer = LlamaCpp(args.libraries, args.model, args.threads, args.serve, positions)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(peer.run(request["prompts"], request["new"]) | {"peak_mib": peak_mib()}), flush=True)


class Side:
    """A process that answers requests."""

    def __init__(self, command, environment=None):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env=environment, **pipes)
        self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args[0]} ended")
        return json.loads(line)

    def run(self, prompts, new, **more):
        self.process.stdin.write(json.dumps({"prompts": prompts, "new": new} | more) + "\n")
        self.process.stdin.flush()
        return self.read()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def spread(values, digits=1):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def compare(args):
    build = ["cargo", "build", "-p", "camelid-model", "--example", "engine_times"]
    subprocess.run(build, cwd=ROOT, check=True)
    ours = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug/examples/engine_times"
    rows = []
    for streams in STREAMS:
        common = ["--prompt", str(args.prompt), "--new", str(args.new), "--threads", str(args.threads)]
        theirs = [sys.executable, __file__, str(args.model), "--libraries", str(args.libraries), *common]
        sides = {"llama.cpp": Side([*theirs, "--serve", str(streams)])}
        for storage in args.storage:
            environment = os.environ | {"RAYON_NUM_THREADS": str(args.threads)}
            sides[f"Camelid {storage}"] = Side([str(ours), str(args.model), str(streams), storage], environment)
        texts = prompts(streams, args.prompt)
        for side in sides.values():
            side.run(texts, args.new)  # the first run pages things in
        samples = {name: [] for name in sides}
        constrained = []
        for _ in range(args.rounds):
            for name, side in sides.items():
                samples[name].append(side.run(texts, args.new))
            if streams == 1:
                constrained.append(side.run(texts, args.new, schema=ENDLESS)["worked_rest"])
        if streams == 1:
            plain = [run["worked_rest"] for run in samples[name]]
            cost = (statistics.median(constrained) - statistics.median(plain)) / (args.new - 1)
        for side in sides.values():
            side.close()
        base = None
        for name, runs in samples.items():
            rates = {
                part: [count / run[part] for run in runs]
                for part, count in (
                    ("first", streams * args.prompt),
                    ("rest", streams * (args.new - 1)),
                    ("worked_first", streams * args.prompt),
                    ("worked_rest", streams * (args.new - 1)),
                )
            }
            base = base or {part: statistics.median(values) for part, values in rates.items()}
            shown = lambda part: [
                spread(rates[part]),
                f"{statistics.median(rates[part]) / base[part]:.2f}",
            ]
            same = sum(
                sum(a == b for a, b in zip(x, y))
                for x, y in zip(runs[0]["ids"], samples["llama.cpp"][0]["ids"])
            )
            rows.append(
                [
                    streams,
                    name,
                    *shown("first"),
                    spread([1000 * run["first"] for run in runs], 0),
                    *shown("rest"),
                    *shown("worked_first"),
                    *shown("worked_rest"),
                    f"{max(run['peak_mib'] for run in runs):.0f}",
                    f"{100 * same / (streams * args.new):.0f} %",
                ]
            )
    head = ["streams", "by", "prompt tokens/s", "ratio", "first token, ms", "new tokens/s", "ratio"]
    head += ["prompt tokens per core-second", "ratio", "new tokens per core-second", "ratio"]
    head += ["peak MiB", "same greedy tokens"]
    print(f"A JSON schema costs {1e3 * cost:.2f} core-milliseconds a token, its compilation included.\n")
    for row in [head, ["---"] * len(head), *rows]:
        print("| " + " | ".join(map(str, row)) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--libraries", type=Path, required=True, help="folder of libllama.so")
    parser.add_argument("--prompt", type=int, default=128, help="tokens of each prompt")
    parser.add_argument("--new", type=int, default=64, help="tokens that each stream makes")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--storage", nargs="+", default=["int8", "f32"], help="how Camelid holds the weights")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args)
    else:
        compare(args)


if __name__ == "__main__":
    main()
