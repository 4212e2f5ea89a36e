#!/usr/bin/env python3
"""Runs the transfer table of one data set: pre-training, probes, fine-tuning, and the same from scratch.

    cargo build --release
    python3 docs/results/transfer.py --name fashion-mnist --data fashion-mnist --work /tmp/transfer

Every finished run is a line of docs/results/NAME.jsonl, and a run that has its line is not run again, so the script
goes on where it was stopped. `--table` prints the table of what is there. Nothing but Python 3 is needed.

"Equal compute" gives the run from scratch as many floating-point operations as pre-training and fine-tuning took together:
epochs are the fine-tuning's plus pre-training's images times the ratio of a step's cost per image, over the labelled images.
"""

import argparse
import json
import math
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", required=True, help="the results are docs/results/NAME.jsonl")
    parser.add_argument("--data", help="the data set's path")
    parser.add_argument("--preset", default="nano")
    parser.add_argument("--work", help="a folder for the runs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pretrain-epochs", type=int, default=12)
    parser.add_argument("--set", action="append", default=[], help="a setting of pre-training, section.key=value")
    parser.add_argument("--finetune-set", action="append", default=[], help="a setting of fine-tuning")
    parser.add_argument("--labels", default="0.01:40,0.1:12,1:3", help="share of labels : epochs of fine-tuning, …")
    parser.add_argument("--binary", default=str(ROOT / "target/release/vit-mae"))
    parser.add_argument("--table", action="store_true", help="print the table and run nothing")
    arguments = parser.parse_args()
    results = Results(HERE / f"{arguments.name}.jsonl")
    if not arguments.table:
        run_all(arguments, results)
    print(table(results.rows))


class Results:
    """The finished runs, by name."""

    def __init__(self, path):
        self.path = path
        self.rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def get(self, key):
        return next((row for row in self.rows if all(row.get(name) == value for name, value in key.items())), None)

    def add(self, key, **measured):
        row = {**key, **measured}
        self.rows.append(row)
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")


def run_all(arguments, results):
    shares = [(float(share), int(epochs)) for share, epochs in (p.split(":") for p in arguments.labels.split(","))]
    work = pathlib.Path(arguments.work)
    work.mkdir(parents=True, exist_ok=True)
    for seed in range(arguments.seeds):
        pretrained = work / f"pretrain-{seed}"
        pretrain(arguments, results, pretrained, seed)
        for share, epochs in shares:
            probe(arguments, results, pretrained, seed, share)
            finetune(arguments, results, pretrained, seed, share, epochs, "pre-trained")
            finetune(arguments, results, pretrained, seed, share, epochs, "scratch, equal epochs")
    for seed in range(arguments.seeds):
        for share, epochs in shares:
            pretrained = work / f"pretrain-{seed}"
            key = {"what": "finetune", "start": "pre-trained", "seed": seed, "labels": share}
            finetuning = results.get(key)
            more = pretraining_in_finetuning_images(arguments, results, finetuning) / finetuning["train_images"]
            finetune(
                arguments, results, pretrained, seed, share, math.ceil(epochs + more), "scratch, equal compute"
            )


def call(arguments, *command):
    command = [arguments.binary, *map(str, command)]
    print(" ".join(command), file=sys.stderr)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{done.stderr}\nexit code {done.returncode}")
    return done.stdout


def pretrain(arguments, results, out, seed):
    key = {"what": "pretrain", "seed": seed}
    if results.get(key) and (out / "checkpoint").is_dir():
        return
    settings = [word for setting in arguments.set for word in ("--set", setting)]
    if (out / "checkpoint").is_dir():
        call(arguments, "pretrain", "--resume", out)
    else:
        call(
            arguments, "pretrain", "--preset", arguments.preset, "--data", arguments.data, "--epochs",
            arguments.pretrain_epochs, "--seed", seed, "--out", out, *settings,
        )
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    epochs = [record for record in records if record["kind"] == "epoch"]
    if results.get(key):
        return
    per_epoch = epochs[-1]["images_per_s"] * epochs[-1]["wall_secs"]
    results.add(
        key, epochs=len(epochs), images=round(len(epochs) * per_epoch), loss=epochs[-1]["held_out_loss"],
        wall_secs=round(sum(epoch["wall_secs"] for epoch in epochs)),
    )


def probe(arguments, results, pretrained, seed, share):
    for encoder, flags in (("pre-trained", []), ("random", ["--random-encoder"])):
        key = {"what": "probe", "encoder": encoder, "seed": seed, "labels": share}
        if results.get(key):
            continue
        text = call(
            arguments, "probe", "--checkpoint", pretrained, "--labels", share, "--seed", seed, "--knn", "--sweep",
            "--json", *flags,
        )
        report = json.loads(text)
        results.add(key, accuracy=report["test"]["top1"], knn=report["knn"]["top1"])


def finetune(arguments, results, pretrained, seed, share, epochs, start):
    key = {"what": "finetune", "start": start, "seed": seed, "labels": share}
    if results.get(key):
        return
    out = pretrained.parent / f"{start.replace(', ', '-').replace(' ', '-')}-{share}-{seed}"
    settings = [word for setting in arguments.finetune_set for word in ("--set", setting)]
    begin = [
        "--checkpoint", pretrained, "--labels", share, "--epochs", epochs, "--seed", seed, "--out", out, *settings,
    ]
    if start != "pre-trained":
        begin.append("--from-scratch")
    if (out / "checkpoint").is_dir():
        begin = ["--resume", out]
    outcome = json.loads(call(arguments, "finetune", "--json", *begin))
    results.add(
        key, epochs=epochs, train_images=outcome["train_images"], accuracy=outcome["test_accuracy"],
        validation=outcome["validation_accuracy"], gflop_per_image=outcome["gflop_per_image"],
        wall_secs=round(outcome["wall_secs"]),
    )


def pretraining_in_finetuning_images(arguments, results, finetuning):
    """How many images of fine-tuning cost as much as the whole of pre-training."""
    settings = [word for setting in arguments.set for word in ("--set", setting)]
    text = call(arguments, "bench", "--preset", arguments.preset, "--secs", 0.2, "--json", *settings)
    images = results.get({"what": "pretrain", "seed": finetuning["seed"]})["images"]
    return images * json.loads(text)["gflop_per_image"] / finetuning["gflop_per_image"]


def cell(rows, name):
    values = [100 * row[name] for row in rows]
    if not values:
        return "–"
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{spread}"


def table(rows):
    shares = sorted({row["labels"] for row in rows if "labels" in row})
    lines = [
        ("k-NN, random encoder", "probe", {"encoder": "random"}, "knn"),
        ("k-NN, pre-trained encoder", "probe", {"encoder": "pre-trained"}, "knn"),
        ("linear probe, random encoder", "probe", {"encoder": "random"}, "accuracy"),
        ("linear probe, pre-trained encoder", "probe", {"encoder": "pre-trained"}, "accuracy"),
        ("from scratch, equal fine-tuning epochs", "finetune", {"start": "scratch, equal epochs"}, "accuracy"),
        ("from scratch, equal total compute", "finetune", {"start": "scratch, equal compute"}, "accuracy"),
        ("fine-tuned after pre-training", "finetune", {"start": "pre-trained"}, "accuracy"),
    ]
    text = ["| test accuracy, % | " + " | ".join(f"{100 * share:g} % of labels" for share in shares) + " |"]
    text.append("| --- |" + " --- |" * len(shares))
    for name, what, key, measured in lines:
        cells = []
        for share in shares:
            wanted = {"what": what, "labels": share, **key}
            found = [row for row in rows if all(row.get(k) == v for k, v in wanted.items())]
            cells.append(cell(found, measured))
        text.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(text)


if __name__ == "__main__":
    main()
