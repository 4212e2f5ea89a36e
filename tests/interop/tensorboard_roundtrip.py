"""Asks the real TensorBoard what it shows of a run, and compares every scalar and every picture with `metrics.jsonl` and the
files of the run. Run on demand, not part of `cargo test`:

    pip install tensorboard pillow
    cargo build --release
    python tests/interop/tensorboard_roundtrip.py target/release/vit-mae

It trains a tiny masked autoencoder and a tiny classifier on pictures that it draws, kills a run that is shown while it
trains, and resumes it. Events are read three times: by the library's EventAccumulator, and over HTTP from the program with
either of its two readers (`--load_fast`). Exit code 0 if all agrees."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import tensorboard
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

CONFIG = """
[model]
img_size = [16, 16]
in_chans = 1
patch_size = 4
embed_dim = 32
depth = 2
num_heads = 4
decoder_embed_dim = 16
decoder_depth = 1
decoder_num_heads = 2
[optim]
epochs = 12
batch_size = 4
micro_batch = 4
[run]
pictures_every_epochs = 1
checkpoint_every_steps = 5
"""

SCALARS = {
    "step": {"train/loss": "loss", "train/lr": "lr", "train/grad_norm": "grad_norm", "train/images_per_s": "images_per_s"},
    "validation": {"held_out/top5": "top5"},
    "epoch": {
        "epoch/train_loss": "train_loss",
        "epoch/images_per_s": "images_per_s",
        "held_out/loss": "held_out_loss",
        "held_out/accuracy": "held_out_accuracy",
    },
}

PROGRAM = str(Path(sys.argv[1]).resolve())
FAILED = []


def vit_mae(*args):
    done = subprocess.run([PROGRAM, *map(str, args)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"vit-mae {' '.join(map(str, args))}: {done.stderr}")


def draw(folder):
    for split, count in [("train", 12), ("test", 4)]:
        for k, name in enumerate(["across", "down"]):
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                image = Image.new("L", (16, 16))
                image.putdata([(60 * ((x, y)[k] // 2 % 2) + 9 * i + 3 * x * y) % 256 for y in range(16) for x in range(16)])
                image.save(folder / split / name / f"{i:02}.png")


def log(run):
    """Scalars of a run's log: {tag: [(step, value)]}."""
    points = {}
    for line in (run / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        for tag, key in SCALARS.get(record["kind"], {}).items():
            if record.get(key) is not None:
                points.setdefault(tag, []).append((record["step"], record[key]))
    return points


def files(run):
    """Pictures of a run: {tag: [(step, bytes)]}; those without a history belong to the last epoch."""
    ends = [r for r in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()) if r["kind"] == "epoch"]
    steps = {record["epoch"]: record["step"] for record in ends}
    sheets = sorted((run / "reconstructions").glob("epoch-*.png"))
    all = {"reconstructions": [(steps[int(sheet.stem[6:])], sheet.read_bytes()) for sheet in sheets]}
    for tag, name in [("confusion_matrix", "confusion.png"), ("wrong", "wrong.png")]:
        if (run / name).exists():
            all[tag] = [(ends[-1]["step"], (run / name).read_bytes())]
    return {tag: pictures for tag, pictures in all.items() if pictures}


def from_library(folder):
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0}).Reload()
    tags = found.Tags()
    scalars = {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in tags["scalars"]}
    images = {tag: [(e.step, e.encoded_image_string) for e in found.Images(tag)] for tag in tags["images"]}
    return scalars, images


class Server:
    """TensorBoard, the program."""

    def __init__(self, folder, fast):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        flags = [f"--logdir={folder}", f"--port={port}", f"--load_fast={fast}", "--samples_per_plugin=scalars=10000,images=100"]
        self.url = f"http://127.0.0.1:{port}/data/"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tensorboard.main", *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def get(self, path, **query):
        with urllib.request.urlopen(self.url + path + "?" + urllib.parse.urlencode(query), timeout=30) as answer:
            return answer.read()

    def shown(self, tags):
        """Scalars and pictures of the only run, once all these tags are there."""
        for _ in range(120):
            time.sleep(0.5)
            try:
                scalars = json.loads(self.get("plugin/scalars/tags"))
                images = json.loads(self.get("plugin/images/tags"))
            except (urllib.error.URLError, OSError):
                continue
            if {tag for of_run in [*scalars.values(), *images.values()] for tag in of_run} >= tags:
                break
        else:
            sys.exit(f"TensorBoard does not show {tags}")
        time.sleep(6)  # It reads again every five seconds.
        (run,) = scalars
        numbers = {
            tag: [(step, value) for _, step, value in json.loads(self.get("plugin/scalars/scalars", run=run, tag=tag))]
            for tag in scalars[run]
        }
        pictures = {}
        for tag in images.get(run, {}):
            listed = json.loads(self.get("plugin/images/images", run=run, tag=tag, sample=0))
            pictures[tag] = [
                (picture["step"], self.get("plugin/images/individualImage?" + picture["query"] + "&")) for picture in listed
            ]
        return numbers, pictures

    def stop(self):
        self.process.terminate()
        self.process.wait()


def compare(what, run, shown):
    (scalars, images), (numbers, pictures) = shown, (log(run), files(run))
    largest, count = 0.0, 0
    same = scalars.keys() == numbers.keys()
    for tag, points in numbers.items():
        found = sorted(scalars.get(tag, []))
        same = same and [step for step, _ in found] == [step for step, _ in points]
        for (_, value), (_, logged) in zip(found, points):
            largest = max(largest, abs(value - logged) / max(abs(logged), 1e-30) if logged else abs(value))
            count += 1
    same_pictures = {tag: sorted(all) for tag, all in images.items()} == pictures
    good = same and same_pictures and largest <= 2**-24
    pictured = sum(map(len, pictures.values()))
    print(f"{what:<58} {count:>4} scalars {largest:8.1e}  {pictured:>3} pictures  {'ok' if good else 'DIFFERS'}")
    if not good:
        FAILED.append(what)
        print("  tags", sorted(scalars), "for", sorted(numbers), "pictures", {t: len(p) for t, p in images.items()})


def judge(what, run, folder):
    compare(f"{what}, EventAccumulator", run, from_library(folder))
    for fast in ["false", "true"]:
        server = Server(folder, fast)
        try:
            compare(f"{what}, tensorboard --load_fast={fast}", run, server.shown(log(run).keys() | files(run).keys()))
        finally:
            server.stop()


def kill_and_resume(work, args):
    """Kills a run twice in its middle, and lets it end."""
    command = [PROGRAM, "pretrain", *args]
    for lines in [14, 40]:
        process = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        metrics = work / "live/metrics.jsonl"
        while not metrics.exists() or metrics.read_text().count("\n") < lines:
            time.sleep(0.001)
        process.kill()
        process.wait()
        command = [PROGRAM, "pretrain", "--resume", work / "live"]
    vit_mae("pretrain", "--resume", work / "live")


with tempfile.TemporaryDirectory() as temporary:
    work = Path(temporary)
    print(f"tensorboard {tensorboard.__version__}; differences are relative to the number in metrics.jsonl")
    (work / "config.toml").write_text(CONFIG)
    draw(work / "set")
    train = ["--config", work / "config.toml", "--data", work / "set"]
    vit_mae("pretrain", *train, "--out", work / "run")
    vit_mae("export", work / "run", "--to", "tensorboard", "--out", work / "board/run")
    judge("pretrain, exported", work / "run", work / "board/run")
    vit_mae("finetune", "--checkpoint", work / "run", "--epochs", 3, "--batch-size", 4, "--out", work / "tuned")
    vit_mae("export", work / "tuned", "--to", "tensorboard", "--out", work / "board/tuned")
    judge("finetune, exported", work / "tuned", work / "board/tuned")
    kill_and_resume(work, [*train, "--tensorboard", "--out", work / "live"])
    count = len(os.listdir(work / "live/tensorboard"))
    judge(f"pretrain --tensorboard, killed twice, {count} event files", work / "live", work / "live/tensorboard")

if FAILED:
    sys.exit(f"not the same: {FAILED}")
