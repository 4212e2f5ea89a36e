"""What the scripts that measure PyTorch share: flags, the loop that is timed, and the line of JSON.

The line has the keys of `vit-mae bench --json` that both sides can know.
"""

import argparse
import json
import resource
import statistics
import time

import torch


def main(doc, presets, prepare, batch_size, attention=("sdpa",), compiles=True):
    """Measures the step of one script.

    `prepare(shape, batch_size, attention)` gives the step, which is a function without arguments; the model, whose
    parameters are counted; and any other modules that the step calls. `shape` is the preset's entry in `presets`, the
    first of which is the default. Of several kinds of attention the fastest is reported.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=presets, default=next(iter(presets)))
    parser.add_argument("--batch-size", type=int, default=batch_size)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--secs", type=float, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    several = len(attention) > 1
    parser.add_argument(
        "--attention", choices=[*attention, "both"], default="both" if several else attention[0],
        help=None if several else f"always {attention[0]}",
    )
    if compiles:
        parser.add_argument("--compile", action="store_true", help="torch.compile the model")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    compiled = compiles and arguments.compile
    kinds = attention if arguments.attention == "both" else [arguments.attention]
    measured = {}
    for kind in kinds:
        torch.manual_seed(0)
        step, model, *others = prepare(presets[arguments.preset], arguments.batch_size, kind)
        if compiled:
            for module in (model, *others):
                module.compile()
        measured[kind] = rates(step, arguments, warm_up=3 if compiled else 1)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        # So that the next kind's model is not there beside this one's.
        del step, model, others
    best = max(measured, key=lambda kind: statistics.median(measured[kind]))
    print(json.dumps({
        "preset": arguments.preset,
        "batch_size": arguments.batch_size,
        "threads": arguments.threads,
        "parameters": parameters,
        "images_per_s": {
            "min": min(measured[best]),
            "median": statistics.median(measured[best]),
            "max": max(measured[best]),
        },
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "attention": best,
        "compiled": compiled,
        "torch": torch.__version__,
    }))


def rates(step, arguments, warm_up):
    """Images per second of each repeat."""
    for _ in range(warm_up):
        step()
    result = []
    for _ in range(arguments.repeats):
        start, done = time.perf_counter(), 0
        while done == 0 or time.perf_counter() - start < arguments.secs / arguments.repeats:
            step()
            done += arguments.batch_size
        result.append(done / (time.perf_counter() - start))
    return result
