#!/usr/bin/env python3
"""Pre-trains the default model by each method at equal compute, and judges each encoder with a tenth of the labels.

    cargo build --release
    python3 docs/results/methods.py --work /tmp/methods --seeds 0,1,2

As transfer.py: every finished run is a line of docs/results/methods.jsonl and is not run again; `--table` prints what is there.
Methods without labels are given the operations of 30 epochs of a masked autoencoder; `bench --method` counts them.
"""

import argparse
import json
import pathlib

from transfer import HERE, ROOT, Results, call, cell

# Epochs of 21 TFLOP in all. Supervised pre-training sees the tenth of the labels that all are judged with, in fewer operations.
METHODS = {"mae": 30, "moco-v3": 3, "beit": 10, "supervised": 40}
LABELS = 0.1
EPOCHS = 20


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", help="a folder for the runs")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--binary", default=str(ROOT / "target/release/vit-mae"))
    parser.add_argument("--table", action="store_true", help="print the table and run nothing")
    arguments = parser.parse_args()
    results = Results(HERE / "methods.jsonl")
    if not arguments.table:
        for seed in map(int, arguments.seeds.split(",")):
            for method in METHODS:
                pretrain(arguments, results, method, seed)
            judge(arguments, results, "random", seed)
    print(table(results.rows))


def pretrain(arguments, results, method, seed):
    out = pathlib.Path(arguments.work) / f"{method}-{seed}"
    if not (out / "checkpoint").is_dir():
        labels = ["--labels", LABELS] if method == "supervised" else []
        call(
            arguments, "pretrain", "--method", method, "--epochs", METHODS[method], "--seed", seed, "--out", out, *labels
        )
    elif not (out / "report.html").is_file():
        call(arguments, "pretrain", "--resume", out)
    judge(arguments, results, method, seed)


def judge(arguments, results, method, seed):
    """Of an encoder, or of the weights that one began with."""
    key = {"method": method, "seed": seed}
    if results.get(key):
        return
    random = method == "random"
    encoder = pathlib.Path(arguments.work) / f"{'mae' if random else method}-{seed}"
    with_tenth = ["--checkpoint", encoder, "--labels", LABELS, "--seed", seed, "--json"]
    probe = json.loads(call(
        arguments, "probe", *with_tenth, "--knn", "--sweep", *(["--random-encoder"] if random else [])
    ))
    tuned = json.loads(call(
        arguments, "finetune", *with_tenth, "--epochs", EPOCHS, "--out", encoder.with_name(f"{method}-{seed}-tuned"),
        *(["--from-scratch"] if random else []),
    ))
    results.add(
        key, probe=probe["test"]["top1"], knn=probe["knn"]["top1"], finetuned=tuned["test_accuracy"],
        finetuned_validation=tuned["validation_accuracy"],
    )


def table(rows):
    lines = ["| test accuracy, % | k-NN | linear probe | fine-tuned | seeds |", "| --- | --- | --- | --- | --- |"]
    for method in [*METHODS, "random"]:
        found = [row for row in rows if row["method"] == method]
        cells = [cell(found, what) for what in ("knn", "probe", "finetuned")]
        lines.append(f"| {method} | {' | '.join(cells)} | {len(found)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
