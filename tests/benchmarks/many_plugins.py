"""How much longer `stlm check` takes where 200 packages with a component each are installed beside stlm.

    python tests/benchmarks/many_plugins.py [ROUNDS]

Each round runs both ways, one right after the other and in an order that alternates, so that what else the machine does
falls on both. Told are medians of seconds on the clock and of seconds that the processor worked, and the medians of the
rounds' ratios; the status is 1 where that of the clock is more than 1.2. The packages are as pip leaves them: a module,
its compiled form, and a `.dist-info` with METADATA, RECORD, WHEEL, a license and entry points.
"""

import compileall
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from stlm.cli.shipped import folder

SPEC = str(folder() / "stlm-50m.yaml")
COMMAND = (sys.executable, "-m", "stlm", "check", SPEC)
PACKAGES = 200
MOST = 1.2
KINDS = ("norm", "activation", "attention", "ffn", "optimizer", "lr_scheduler", "loss", "sampler")
MODULE = """\
from stlm.registry import component, option


@component("{kind}", "many_{i}")
class Many:
    \"\"\"One of many.\"\"\"

    lr: float = option(default=1.0, doc="A rate.")

    def build(self, *arguments): ...
"""


def install(site: Path) -> None:
    """Write the packages."""
    for i in range(PACKAGES):
        package, kind = f"stlm_many_{i}", KINDS[i % len(KINDS)]
        (site / package).mkdir()
        (site / package / "__init__.py").write_text("")
        (site / package / "many.py").write_text(MODULE.format(kind=kind, i=i))
        info = site / f"{package}-1.0.dist-info"
        (info / "licenses").mkdir(parents=True)
        (info / "licenses" / "LICENSE").write_text("Anybody may do anything with it.\n")
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.4\nName: stlm-many-{i}\nVersion: 1.0\nSummary: One of many.\nRequires-Dist: stlm\n"
        )
        (info / "WHEEL").write_text(
            "Wheel-Version: 1.0\nGenerator: hatchling\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        (info / "RECORD").write_text(f"{package}/__init__.py,,\n{package}/many.py,,\n")
        (info / "entry_points.txt").write_text(
            f"[stlm]\ncontract.1 = stlm.registry\n{kind}.many_{i} = {package}.many:Many\n"
        )
    compileall.compile_dir(site, quiet=1)


def seconds(path: str) -> tuple[float, float]:
    """Time one check, with a folder of packages on the path or without: on the clock, and of the processor."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")}
    started = time.perf_counter()
    process = subprocess.Popen(COMMAND, env={**kept, "PYTHONPATH": path}, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(COMMAND)} ended with {process.returncode}")
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime


def main(rounds: int) -> int:
    """Measure, and print a line a figure."""
    took: dict[str, list[tuple[float, float]]] = {"none": [], "many": []}
    with tempfile.TemporaryDirectory() as none, tempfile.TemporaryDirectory() as many:
        install(Path(many))
        paths = {"none": none, "many": many}
        for path in paths.values():
            seconds(path)
        for number in range(rounds):
            for name in ("many", "none") if number % 2 else ("none", "many"):
                took[name].append(seconds(paths[name]))
    ratio = 0.0
    for index, what in ((1, "processor"), (0, "clock")):
        few, lots = ([run[index] for run in took[name]] for name in ("none", "many"))
        ratio = statistics.median(b / a for a, b in zip(few, lots, strict=True))
        print(
            f"check by the {what:<9}  no plugins {statistics.median(few):.3f} s  {PACKAGES} plugins "
            f"{statistics.median(lots):.3f} s  ratio {ratio:.2f}"
        )
    return int(ratio > MOST)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 15))
