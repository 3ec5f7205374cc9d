"""Cleaning of ShareGPT pages: Camelid beside FastChat, by turns, on the same file.

    cargo build -p camelid
    pip install --no-deps fschat==0.2.36 beautifulsoup4==4.15.0 markdownify==0.11.6 tqdm six soupsieve typing_extensions
    python benches/peers/cleaning.py [--rounds 5] [--conversations 5000]

The pages are made up here. In exact mode the outputs of both are compared byte for byte. Each run is a process of
its own; time and memory are those that the system counts for it, FastChat's worker processes included in the time
(its memory is that of its largest process).
"""

import argparse
import json
import os
import pathlib
import random
import statistics
import sys
import tempfile
import time

SYLLABLES = "ba ce di fo gu ha je ki lo mu na pe ri so tu va we yo ing er ment ly est ous".split()


class Pages:
    """Raw conversations as ShareGPT stored them, from a fixed seed."""

    def __init__(self, seed=0):
        self.random = random.Random(seed)
        self.words = ["".join(self.random.choice(SYLLABLES) for _ in range(n)) for n in (1, 2, 2, 3, 3, 4) for _ in range(3000)]

    def word(self):
        return self.words[int(len(self.words) * self.random.random() ** 3)]

    def sentence(self):
        return " ".join(self.word() for _ in range(self.random.randint(6, 18))).capitalize() + "."

    def line(self):
        extras = ["", "", "", f" <strong>{self.word()}</strong>", f" Use <code>{self.word()}_{self.word()}()</code>.", " a &lt; b &amp;&amp; c", f' See <a href="https://example.org/{self.word()}">{self.word()}</a>.']
        return self.sentence() + self.random.choice(extras)

    def block(self):
        kind = self.random.random()
        if kind < 0.55:
            return "<p>" + " ".join(self.line() for _ in range(self.random.randint(1, 4))) + "</p>"
        if kind < 0.75:
            name = self.random.choice(["ul", "ol"])
            return f"<{name}>" + "".join(f"<li><p>{self.line()}</p></li>" for _ in range(self.random.randint(2, 6))) + f"</{name}>"
        if kind < 0.92:
            code = "\n".join(f'<span class="hljs-keyword">let</span> {self.word()}_{self.word()} = {self.random.randint(0, 999)};' for _ in range(self.random.randint(3, 18)))
            return f'<pre><div class="bg-black"><div class="flex">rust<button class="flex">Copy code</button></div><div class="p-4"><code class="hljs language-rust">{code}\n</code></div></div></pre>'
        if kind < 0.96:
            return f"<h3>{self.sentence()}</h3>"
        rows = "".join(f"<tr><td>{self.word()}</td><td>{self.random.randint(0, 99)}</td></tr>" for _ in range(4))
        return f"<table><thead><tr><th>{self.word()}</th><th>n</th></tr></thead><tbody>{rows}</tbody></table>"

    def conversation(self, number):
        turns = []
        for _ in range(self.random.choice([1, 1, 2, 2, 3, 3, 4, 5, 6, 8])):
            turns.append({"from": "human", "value": " ".join(self.sentence() for _ in range(self.random.randint(1, 4)))})
            page = "".join(self.block() for _ in range(self.random.randint(2, 6)))
            turns.append({"from": "gpt", "value": f'<div class="markdown prose w-full break-words light">{page}</div>'})
        return {"id": f"c{number}" if self.random.random() > 0.01 else "c0", "conversations": turns}


def timed(command):
    """Seconds passed, seconds worked and MiB of the largest process of a command."""
    started = time.monotonic()
    child = os.posix_spawnp(command[0], command, os.environ, file_actions=[
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0), (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)])
    _, status, usage = os.wait4(child, 0)
    if status:
        sys.exit(f"{command} ended with {os.waitstatus_to_exitcode(status)}")
    return time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--conversations", type=int, default=5000)
    arguments.add_argument("--camelid", default=str(pathlib.Path(__file__).parents[2] / "target/debug/camelid"))
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        pages = Pages()
        source, ours, theirs = folder / "pages.json", folder / "ours.json", folder / "theirs.json"
        source.write_text(json.dumps([pages.conversation(n) for n in range(given.conversations)], ensure_ascii=False))
        size = source.stat().st_size / 1e6
        commands = {
            "FastChat": [sys.executable, "-m", "fastchat.data.clean_sharegpt", "--in-file", str(source), "--out-file", str(theirs)],
            "Camelid, fastchat-exact": [given.camelid, "data", "clean", str(source), "--mode", "fastchat-exact", "--out", str(ours)],
            "Camelid, correct": [given.camelid, "data", "clean", str(source), "--out", str(folder / "correct.json")],
        }
        samples = {name: [] for name in commands}
        for _ in range(given.rounds):
            for name, command in commands.items():
                samples[name].append(timed(command))
        if ours.read_bytes() != theirs.read_bytes():
            sys.exit("the outputs differ")
        print(f"{given.conversations} conversations, {size:.1f} MB; outputs equal; medians of {given.rounds}")
        of_fastchat = statistics.median(sample[0] for sample in samples["FastChat"])
        for name, runs in samples.items():
            passed, worked, memory = (statistics.median(column) for column in zip(*runs))
            print(f"{name}: {passed:.2f} s ({of_fastchat / passed:.1f}x), all cores {worked:.2f} s, {size / passed:.1f} MB/s, {memory:.0f} MiB")


if __name__ == "__main__":
    main()
