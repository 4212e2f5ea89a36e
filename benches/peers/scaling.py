#!/usr/bin/env python3
"""Compares one training run on T threads with T runs of one thread side by side, which share the machine in the same way.

    cargo build --release
    python3 benches/peers/scaling.py --preset nano --batch-size 256 --pairs 3

Prints the ratio of images per second, T threads over the sum of the T single ones, as one line of JSON.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def start(arguments, threads):
    command = [
        arguments.binary, "bench", "--json", "--preset", arguments.preset,
        "--batch-size", str(arguments.batch_size), "--threads", str(threads), "--secs", str(arguments.secs),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def rate(process):
    output, _ = process.communicate()
    if process.returncode != 0:
        sys.exit(f"{' '.join(process.args)} ended with {process.returncode}")
    return json.loads(output.splitlines()[0])["images_per_s"]["median"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="nano")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--secs", type=float, default=5)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--binary", default=str(ROOT / "target/release/vit-mae"))
    arguments = parser.parse_args()

    ratios = []
    for number in range(arguments.pairs):
        together = rate(start(arguments, arguments.threads))
        single = [start(arguments, 1) for _ in range(arguments.threads)]
        apart = sum(rate(process) for process in single)
        ratios.append(together / apart)
        print(f"pair {number + 1}: {together:.1f} and {apart:.1f} images/s", file=sys.stderr)
    print(json.dumps({
        "preset": arguments.preset,
        "batch_size": arguments.batch_size,
        "threads": arguments.threads,
        "ratio": round(statistics.median(ratios), 3),
        "ratio_min_max": [round(min(ratios), 3), round(max(ratios), 3)],
    }))


if __name__ == "__main__":
    main()
