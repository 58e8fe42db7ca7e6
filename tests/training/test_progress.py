"""What a person sees of a run."""

import contextlib
import fcntl
import logging
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time

import pytest

from stlm.components.benchmark.measures import FURTHER
from stlm.data.telling import duration, is_live, log_shown
from stlm.experiments.train import train
from stlm.training.progress import Bar, describe


def test_progress_is_plain_lines_where_there_is_no_terminal(tiny_spec, capsys):
    train(tiny_spec("trainer.max_iters=2"))
    out, err = capsys.readouterr()
    assert out == ""
    assert "step 1/2  loss " in err
    assert "step 2/2  held out  loss " in err
    assert "\x1b" not in err


def test_a_terminal_is_live_unless_a_continuous_integration_runs_it(monkeypatch):
    terminal = type("Terminal", (), {"isatty": lambda self: True})()
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert is_live(terminal)
    monkeypatch.setenv("CI", "true")
    assert not is_live(terminal)


def test_what_is_prepared_is_told_and_what_was_there_already(tiny_spec, tmp_path, caplog):
    caplog.set_level(logging.INFO, "stlm")
    spec = tiny_spec("trainer.max_iters=2", f"general.paths.data_dir={tmp_path}")
    train(spec)
    first = caplog.text
    assert "training the tokenizer bpe-text.jsonl-300: 300 tokens" in first
    assert "preparing the tokens of text.jsonl-bpe" in first
    assert "held out, prepared now in" in first
    caplog.clear()
    train(spec)
    assert "held out, as prepared before in" in caplog.text
    assert "preparing" not in caplog.text


def test_the_rule_is_told_once_where_the_ends_of_documents_are_held_out(tiny_spec, tmp_path, caplog):
    caplog.set_level(logging.INFO, "stlm")
    spec = tiny_spec("trainer.max_iters=2", "model.context_window=64", f"general.paths.data_dir={tmp_path}")
    train(spec)
    assert "the last 0.2 of every document is held out, because" in caplog.text
    assert "(a window is the 64 tokens that the model sees at once)" in caplog.text
    caplog.clear()
    train(spec)
    assert "of every document" not in caplog.text


def test_the_log_is_printed_and_afterwards_as_it_was(monkeypatch, capsys):
    log = logging.getLogger("stlm.data.preparation.prepare")
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # those of pytest
    with log_shown():
        log.info("words of %s", "comfort")
    log.info("nobody hears this")
    assert capsys.readouterr().err == "words of comfort\n"
    assert logging.getLogger("stlm").handlers == []


def test_a_program_that_set_its_logging_up_is_not_interfered_with(capsys, caplog):
    with log_shown():
        logging.getLogger("stlm.data").info("below the level that was set")
    assert capsys.readouterr().err == ""


def test_a_line_of_training_in_words():
    record = {"step": 3, "split": "train", "loss": 1.5, "lr": 1e-3, "grad_norm": 0.25, "tokens_per_second": 1234.5}
    line = "step  3/12  loss 1.500  lr 1.00e-03  norm 0.25  1,234 tokens/s"
    assert describe(record, 12) == line
    assert describe(record, 12, seconds_left=700) == f"{line}  12 min left"


def test_a_line_of_held_out_data_in_words():
    record = {
        "step": 100,
        "split": "val",
        "loss": 5.0834,
        "perplexity": 161.3,
        "bits_per_byte": 2.1,
        "unigram_loss": 6.3491,
        "text_modeling/bits_per_byte": 2.3456,
        "text_modeling/byte_accuracy": 0.0123,
        "text_modeling/held_out/bits_per_byte": 1.9951,
        "text_modeling/held_out/byte_accuracy": 0.0851,
    }
    words = "loss 5.083 (unigram 6.349)  1.995 bits/byte  8.5% of bytes right  passages 2.346 bits/byte"
    assert describe(record, 500) == f"step 100/500  held out  {words}"


def test_a_line_of_benchmarks_alone_in_words():
    record = {"step": 5, "split": "val", "arc/acc": 0.25, "arc/acc_norm": 0.5, "arc/stderr": 0.1}
    assert describe(record, 5) == "step 5/5  held out  arc/acc 0.250  arc/acc_norm 0.500"


def test_a_score_is_said_beside_what_guessing_gives():
    numbers = {"arc/acc": 0.31, "arc/acc_norm": 0.5, "arc/stderr": 0.1, "arc/chance": 0.25, "arc/at_chance": False}
    numbers |= {"x/mmlu/acc": 0.26, "x/mmlu/acc_text": 0.3, "x/mmlu/chance": 0.25, "x/mmlu/at_chance": True}
    words = "arc 31.0% (chance 25.0%)  x/mmlu 26.0% (chance ≈25.0%), by text 30.0%  mine 1.000"
    assert describe({"step": 5, "split": "val", **numbers, "mine": 1.0}, 5) == f"step 5/5  held out  {words}"


def test_further_scores_are_said_and_whether_they_are_more_than_chance():
    for measure in FURTHER:
        numbers = {"b/acc": 0.25, "b/chance": 0.25, f"b/{measure.name}": 0.5, f"b/{measure.stderr}": 0.1}
        for at_chance, mark in ((False, ""), (True, " (≈ chance)")):
            record = {"step": 5, "split": "val", **numbers, f"b/{measure.at_chance}": at_chance}
            assert describe(record, 5).endswith(f"held out  b 25.0% (chance 25.0%), {measure.label} 50.0%{mark}")


def test_a_number_that_is_none_is_named():
    record = {"step": 5, "split": "val", "mine": None, "yours": 1.0}
    assert describe(record, 5) == "step 5/5  held out  mine is not finite  yours 1.000"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "1 s"), (59.4, "59 s"), (59.6, "1 min"), (3569, "59 min"), (3599, "1 h 00 min"), (11100, "3 h 05 min"),
     (172800, "2 d 0 h"), (1e7, "116 d")],
)  # fmt: skip
def test_a_time_is_said_in_its_largest_units(seconds, words):
    assert duration(seconds) == words


def metrics(**numbers):
    return {"loss": 1.2345, "lr": 1e-3, "seconds": 0.5, **numbers}


def test_a_bar_says_loss_rate_speed_and_time_left():
    bar = Bar(0, 400)
    bar.step_done(100, metrics(), tokens=1000)
    bar.step_done(200, metrics(seconds=1.0), tokens=1000)
    bar.began = time.monotonic() - 600
    assert bar.words(80) == "200/400  loss 1.234  lr 1.00e-03  1,500 tokens/s  10 min left"


@pytest.mark.parametrize(
    ("width", "words"),
    [
        (61, "200/400  loss 1.234  lr 1.00e-03  2,000 tokens/s  10 min left"),
        (60, "200/400  loss 1.234  2,000 tokens/s  10 min left"),
        (40, "200/400  loss 1.234  10 min left"),
        (25, "200/400  loss 1.234"),
        (10, "200/400"),
    ],
)
def test_a_bar_leaves_out_what_a_narrow_terminal_has_no_room_for(width, words):
    bar = Bar(0, 400)
    bar.step_done(200, metrics(), tokens=1000)
    bar.began = time.monotonic() - 600
    assert bar.words(width) == words


def seen_on_a_terminal(folder, columns, *arguments, **environment):
    """Run stlm on a terminal of so many columns; return its exit status and the lines that were drawn there."""
    clean = {key: value for key, value in os.environ.items() if key not in ("CI", "NO_COLOR", "COLUMNS")}
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "stlm", *arguments],
        cwd=folder,
        env={**clean, "COLUMNS": str(columns), "TERM": "xterm", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    drawn = b""
    with contextlib.suppress(OSError):  # so a terminal says that nobody is left who writes to it
        while piece := os.read(ours, 1 << 16):
            drawn += piece
    os.close(ours)
    return process.wait(60), drawn.decode()


def frames(drawn):
    """The lines that hold the bar, without what colors and moves them."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn)
    return [line.strip() for line in re.split(r"[\r\n]+", plain) if re.match(r"[━╸╺ ]*\d+/8( |$)", line)]


def test_on_a_narrow_terminal_a_bar_fits_in_its_line(tiny_spec, tmp_path):
    (tmp_path / "spec.yaml").write_text(tiny_spec("trainer.log_interval=4").dump())
    status, drawn = seen_on_a_terminal(tmp_path, 40, "train", "spec.yaml", NO_COLOR="1")
    assert status == 0
    lines = frames(drawn)
    assert max(map(len, lines)) <= 40
    assert re.search(r"8/8  loss \d\.\d{3}  .*0 s left$", lines[-1])
    assert not re.search(r"\x1b\[[0-9;]*[34]\d[;m]", drawn)  # a color


def test_a_terminal_of_a_continuous_integration_gets_plain_lines(tiny_spec, tmp_path):
    (tmp_path / "spec.yaml").write_text(tiny_spec("trainer.log_interval=4").dump())
    status, drawn = seen_on_a_terminal(tmp_path, 80, "train", "spec.yaml", CI="true")
    assert status == 0
    assert "\x1b" not in drawn
    assert "step 4/8  loss " in drawn
    assert frames(drawn) == []


def test_the_time_left_is_estimated_from_the_steps_alone():
    """What comes before the first, as a login does, is not counted."""
    bar = Bar(100, 400)
    bar.began = time.monotonic() - 600
    assert bar.seconds_left() == 0
    bar.step_done(101, metrics(seconds=2.0), tokens=1000)
    assert bar.seconds_left() == pytest.approx(2.0 * 299, rel=0.05)
