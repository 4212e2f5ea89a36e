#!/usr/bin/env python3
"""Runs `vit-mae bench` and the same step in PyTorch in turn, and prints the ratio of medians with its spread.

    cargo build --release
    peers/bin/python benches/peers/compare.py --preset nano --batch-size 256 --pairs 5
    peers/bin/python benches/peers/compare.py --method moco-v3 --preset nano --batch-size 64
    peers/bin/python benches/peers/compare.py --method beit --preset nano --batch-size 64
    peers/bin/python benches/peers/compare.py --method supervised --preset nano --batch-size 64
    peers/bin/python benches/peers/compare.py --task segment --preset photo --batch-size 16
    peers/bin/python benches/peers/compare.py --task detect --preset photo --batch-size 16

Each pair runs both programs one after the other, so that a machine's changing load hits both. `--tcmalloc
PATH` preloads that library for PyTorch.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent

METHODS = {
    "mae": "pytorch.py",
    "moco-v3": "pytorch_moco.py",
    "beit": "pytorch_beit.py",
    "supervised": "pytorch_supervised.py",
}


def last_json(command, **environment):
    output = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, **environment}
    ).stdout
    return json.loads(output.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="nano")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--method", choices=METHODS, default="mae", help="how the trunk is pre-trained")
    instead.add_argument("--task", choices=["segment", "detect"], help="a step of fine-tuning instead (pytorch_TASK.py)")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--secs", type=float, default=6)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--attention", default="both", help="as in pytorch.py")
    parser.add_argument("--compile", action="store_true", help="compile the PyTorch model")
    parser.add_argument("--tcmalloc", help="path of libtcmalloc, preloaded for PyTorch")
    parser.add_argument("--binary", default=str(ROOT / "target/release/vit-mae"))
    arguments = parser.parse_args()

    common = [
        "--preset", arguments.preset, "--batch-size", str(arguments.batch_size),
        "--threads", str(arguments.threads), "--secs", str(arguments.secs),
    ]
    if arguments.task:
        what, script = ["--task", arguments.task], f"pytorch_{arguments.task}.py"
    else:
        what, script = ["--method", arguments.method], METHODS[arguments.method]
        if arguments.method == "mae":
            what += ["--set", "model.norm_pix_loss=true"]
    ours = [arguments.binary, "bench", "--json", *what, *common]
    theirs = [sys.executable, str(HERE / script), "--attention", arguments.attention, *common]
    if arguments.compile:
        theirs.append("--compile")
    environment = {"LD_PRELOAD": arguments.tcmalloc} if arguments.tcmalloc else {}

    pairs = []
    for number in range(arguments.pairs):
        pair = (last_json(ours), last_json(theirs, **environment))
        pairs.append(pair)
        rates = [side["images_per_s"]["median"] for side in pair]
        print(
            f"pair {number + 1}: {rates[0]:.1f} and {rates[1]:.1f} images/s ({pair[1]['attention']}), "
            f"ratio {rates[0] / rates[1]:.2f}",
            file=sys.stderr,
        )
    medians = [statistics.median(pair[i]["images_per_s"]["median"] for pair in pairs) for i in (0, 1)]
    ratios = sorted(a["images_per_s"]["median"] / b["images_per_s"]["median"] for a, b in pairs)
    memory = [max(pair[i]["peak_rss_bytes"] for pair in pairs) for i in (0, 1)]
    print(json.dumps({
        "preset": arguments.preset,
        "batch_size": arguments.batch_size,
        "threads": arguments.threads,
        "compiled": arguments.compile,
        "tcmalloc": bool(arguments.tcmalloc),
        "ours_images_per_s": round(medians[0], 1),
        "pytorch_images_per_s": round(medians[1], 1),
        "ratio_of_medians": round(medians[0] / medians[1], 3),
        "ratio_min_max": [round(ratios[0], 3), round(ratios[-1], 3)],
        "share_of_ceiling": round(statistics.median(pair[0]["share_of_ceiling"] for pair in pairs), 3),
        "ours_peak_rss_mb": round(memory[0] / 1e6),
        "pytorch_peak_rss_mb": round(memory[1] / 1e6),
        "memory_ratio": round(memory[0] / memory[1], 3),
    }))


if __name__ == "__main__":
    main()
