"""How far each optimizer comes in 200 steps, at the best of some learning rates: the table of the README.

python plugins/stlm-optimizers/benchmarks/losses.py [OPTIMIZER …]

All train the network of `lion.yaml` on the same batches, on a trapezoid; the schedule-free one at a constant rate. Of
each the rate that gives the lowest held-out loss counts. One at an end of its list is marked: the best may lie beyond.
"""

import logging
import sys
import tempfile
from pathlib import Path

import stlm

SPEC = Path(__file__).parents[1] / "lion.yaml"
RATES = {
    "AdamW": (1.5e-3, 3e-3, 6e-3, 1.2e-2),
    "Muon": (6e-3, 1.2e-2, 2.4e-2, 4.8e-2),
    "Lion": (5e-4, 1e-3, 2e-3, 4e-3),
    "SOAP": (6e-3, 1.2e-2, 2.4e-2, 4.8e-2),
    "schedule_free": (1.5e-3, 3e-3, 6e-3, 1.2e-2),
}
MORE = {
    "AdamW": ("trainer.optimizer.beta2=0.95",),
    "schedule_free": ("trainer.optimizer.beta2=0.95", "trainer.lr_scheduler=constant"),
    "SOAP": ("trainer.optimizer.precondition_frequency=5",),
}


def settings(name: str, rate: float, folder: str) -> list[str]:
    """Say what a run is to be."""
    block = f"{{optimizer_name: {name}, lr: {rate}, weight_decay: 0.1}}"
    paths = f"{{output_dir: {folder}/out, data_dir: {folder}/data}}"
    decay = [] if name == "schedule_free" else ["trainer.decay_iters=60"]
    quiet = ["trainer.eval_interval=200", "trainer.checkpoint_interval=200", "general.device=cpu"]
    return [f"trainer.optimizer={block}", f"general.paths={paths}", *quiet, *MORE.get(name, ()), *decay]


def main(names: list[str]) -> None:
    """Train, and print a line for each optimizer."""
    logging.disable()
    print(f"{'optimizer':14} {'lr':>8} {'held-out':>9}   all rates")
    with tempfile.TemporaryDirectory() as folder:
        for name in names or RATES:
            losses = {}
            for rate in RATES[name]:
                source = SPEC.read_text(encoding="utf-8").replace("  decay_iters: 60\n", "")
                spec_file = Path(folder) / "spec.yaml"
                spec_file.write_text(source, encoding="utf-8")
                run = stlm.train(stlm.load_spec(spec_file, settings(name, rate, folder)))
                losses[rate] = run.metrics[-1]["loss"]
            best = min(losses, key=losses.__getitem__)
            mark = " (at an end)" if best in (RATES[name][0], RATES[name][-1]) else ""
            shown = "  ".join(f"{rate:g}: {loss:.3f}" for rate, loss in losses.items())
            print(f"{name:14} {best:8g} {losses[best]:9.3f}   {shown}{mark}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
