"""All evaluations of a model together: which rows are asked, and what cannot be had."""

import sys

import attrs
import pytest
import torch

from stlm.compiler.processes import Processes
from stlm.data.reach import UnreachableError
from stlm.evaluation.held_out import HeldOut
from stlm.evaluation.items import Item
from stlm.evaluation.passages import Passage, Passages
from stlm.evaluation.read_benchmarks import Asked, by_reason, read_benchmark, read_benchmarks, read_items
from stlm.evaluation.subject import Subject
from stlm.evaluation.suite import evaluate_subject
from stlm.registry import component, make_component
from stlm.spec import UsageError, WorkError
from stlm.training.losses import NextTokenCrossEntropy


@attrs.frozen
class Letter:
    """A benchmark that asks for one letter or another; notes how it was asked for rows."""

    selector: str = "letter"
    count: int = 3
    by_group: bool = False
    why: str | None = None
    asked: list = attrs.field(factory=list)

    def items(self, num_samples, seed):
        self.asked.append((num_samples, seed))
        if self.why is not None:
            raise WorkError(self.why)
        groups = ("x", "x", "y")
        return [Item(i, "a", ("b", "c"), gold=int(i == 0), group=groups[i]) for i in range(self.count)]


def evaluated(subject, *benchmarks, num_samples=0, sample=None, **how):
    """Evaluate a subject on benchmarks alone, each of which is read when it is its turn."""
    asked = (read_benchmark(benchmark, num_samples) for benchmark in benchmarks)
    return evaluate_subject(subject, None, asked, sample, **how)


@pytest.fixture
def subject(random_bigram, letters):
    return Subject(random_bigram, letters, 8, torch.device("cpu"), seed=7)


def test_the_rows_are_drawn_by_a_seed_that_is_no_part_of_a_spec(subject):
    """So that two models, or a run with another `general.seed`, are asked the same."""
    benchmark = Letter()
    for seed in (7, 8):
        evaluated(attrs.evolve(subject, seed=seed), benchmark, num_samples=5)
    assert benchmark.asked == [(5, 0)] * 2


def test_what_cannot_be_had_is_absent_and_the_others_are_scored(subject):
    results = evaluated(subject, Letter("far", why="not there"), Letter(), Letter("empty", count=0))
    assert list(results["benchmarks"]) == ["letter"]
    assert results["absent"] == {"far": "not there", "empty": "it has no rows"}
    assert results["rows_per_second"] > 0
    assert evaluated(subject, Letter("far", why="not there")) == {"absent": {"far": "not there"}}
    assert "absent" not in evaluated(subject, Letter())


def test_a_benchmark_is_read_when_the_ones_before_it_are_scored(subject):
    """So that what a hub takes long to give keeps nobody waiting for what is there."""
    last, told = Letter("last"), []
    evaluated(subject, Letter(), last, finished=lambda part: told.append((list(part["benchmarks"]), list(last.asked))))
    assert told == [(["letter"], []), (["last"], [(0, 0)])]


def test_rows_that_were_read_are_asked_again_and_read_no_more(subject):
    benchmark = Letter()
    asked = read_benchmark(benchmark, 2)
    first, second = (evaluate_subject(subject, None, [asked])["benchmarks"] for _ in range(2))
    assert first == second
    assert benchmark.asked == [(2, 0)]


@attrs.frozen
class Made:
    """A benchmark of items that a plugin has made in some way or other."""

    made: list
    selector: str = "made"

    def items(self, num_samples, seed):
        if isinstance(self.made, BaseException):
            raise self.made
        return self.made


GOOD = Item(7, "a", ("b", "c"), gold=1)
HUGE = 10**5000  # which Python refuses to write
NO_CHOICES = "cannot be asked: its choices must be a tuple of strings"
NO_CONTEXT = "cannot be asked: its context must be a string, or a tuple of strings"
NO_ROW = "and must be its index in the split"


@pytest.mark.parametrize(
    ("item", "fault"),
    [
        (attrs.evolve(GOOD, gold=2), "row 7 cannot be asked: its answer is 2, and its 2 choices are 0 to 1"),
        (attrs.evolve(GOOD, gold=-1), "row 7 cannot be asked: its answer is -1, and its 2 choices are 0 to 1"),
        (attrs.evolve(GOOD, gold="b"), "row 7 cannot be asked: its answer is 'b', and its 2 choices are 0 to 1"),
        (attrs.evolve(GOOD, gold=True), "row 7 cannot be asked: its answer is True, and its 2 choices are 0 to 1"),
        (attrs.evolve(GOOD, choices=()), "row 7 cannot be asked: it has no choice, and must have two or more"),
        (
            attrs.evolve(GOOD, choices=("b",), gold=0),
            "row 7 cannot be asked: it has a single choice, and must have two or more",
        ),
        (attrs.evolve(GOOD, choices="bc"), "row 7 cannot be asked: its choices must be a tuple of strings"),
        (attrs.evolve(GOOD, choices=("b", 3)), "row 7 cannot be asked: its choices must be a tuple of strings"),
        (
            attrs.evolve(GOOD, gold=HUGE),
            "row 7 cannot be asked: its answer is of the type int, and its 2 choices are 0 to 1",
        ),
        *(
            (attrs.evolve(GOOD, choices=odd), f"row 7 {NO_CHOICES}")
            for odd in (None, 5, iter("bc"), ["b", "c"], {"b", "c"})
        ),
        *((attrs.evolve(GOOD, context=odd), f"row 7 {NO_CONTEXT}") for odd in (None, ["a", "a"], {"a", "b"}, ("a", 1))),
        (attrs.evolve(GOOD, delimiter=None), "row 7 cannot be asked: its `delimiter` is None, and must be a string"),
        (attrs.evolve(GOOD, delimiter=5), "row 7 cannot be asked: its `delimiter` is 5, and must be a string"),
        (
            attrs.evolve(GOOD, group=["x"]),
            "row 7 cannot be asked: its `group` is of the type list, and must be a string",
        ),
        (attrs.evolve(GOOD, group=float("nan")), "row 7 cannot be asked: its `group` is nan, and must be a string"),
        (attrs.evolve(GOOD, row=object()), f"row 1 cannot be asked: its `row` is of the type object, {NO_ROW}"),
        (attrs.evolve(GOOD, row=True), f"row 1 cannot be asked: its `row` is True, {NO_ROW}"),
        (attrs.evolve(GOOD, row=-1), f"row 1 cannot be asked: its `row` is -1, {NO_ROW}"),
        (attrs.evolve(GOOD, row=HUGE), f"row 1 cannot be asked: its `row` is of the type int, {NO_ROW}"),
        (attrs.evolve(GOOD, row="a\nb"), f"row 1 cannot be asked: its `row` is 'a\\nb', {NO_ROW}"),
        (attrs.evolve(GOOD, row="x" * 99), f"row 1 cannot be asked: its `row` is '{'x' * 39}, {NO_ROW}"),
        (attrs.evolve(GOOD, context=("a",)), "row 7 cannot be asked: it has 1 contexts for 2 choices"),
        (attrs.evolve(GOOD, context=3), "row 7 cannot be asked: its context must be a string, or a tuple of strings"),
        (attrs.evolve(GOOD, text="b"), "row 7 cannot be asked: its `text` is str, and must be an `Item`"),
        (
            attrs.evolve(GOOD, text=attrs.evolve(GOOD, choices=("b",))),
            "row 7 cannot be asked: its `text` has 1 choices, and itself 2",
        ),
        (
            attrs.evolve(GOOD, text=attrs.evolve(GOOD, gold=5)),
            "row 7 cannot be asked: of its `text`, its answer is 5, and its 2 choices are 0 to 1",
        ),
        (
            attrs.evolve(GOOD, text=attrs.evolve(GOOD, choices=None)),
            f"row 7 {NO_CHOICES.replace('its', 'of its `text`, its')}",
        ),
        (
            attrs.evolve(GOOD, text=attrs.evolve(GOOD, group=None)),
            "row 7 cannot be asked: of its `text`, its `group` is None, and must be a string",
        ),
        ({"row": 7}, "row 1 cannot be asked: it is dict, and must be an `Item`"),
    ],
)
def test_an_item_that_is_not_as_it_must_be_is_told_by_its_row(subject, item, fault):
    with pytest.raises(WorkError) as told:
        read_items(Made([GOOD, item]), 0)
    assert str(told.value) == fault
    results = evaluated(subject, Made([GOOD, item]), Letter())
    assert results["absent"] == {"made": fault}
    assert list(results["benchmarks"]) == ["letter"]


def test_an_item_that_fails_when_it_is_looked_at_is_told_too():
    with pytest.raises(WorkError, match=r"^row 1 cannot be asked: it cannot be looked at: AttributeError: .+$"):
        read_items(Made([GOOD, Item.__new__(Item)]), 0)


def test_whatever_a_plugin_raises_is_a_reason_and_the_others_are_scored(subject):
    results = evaluated(subject, Made(KeyError("answer\nkey")), Letter())
    assert results["absent"] == {"made": "it failed to give its rows: KeyError: 'answer\\nkey'"}
    assert list(results["benchmarks"]) == ["letter"]


class Ends(BaseException):
    """No `Exception`, as some libraries have them."""


@pytest.mark.parametrize(("error", "told"), [(SystemExit(3), "SystemExit: 3"), (Ends("a\nb"), "Ends: a b")])
def test_what_would_end_the_process_is_a_reason_like_any_other_and_an_interruption_is_none(subject, error, told):
    results = evaluated(subject, Made(error), Letter())
    assert results["absent"] == {"made": f"it failed to give its rows: {told}"}
    assert list(results["benchmarks"]) == ["letter"]
    with pytest.raises(KeyboardInterrupt):
        evaluated(subject, Made(KeyboardInterrupt()), Letter())


def test_what_a_benchmark_tells_of_itself_is_one_line_too(subject):
    assert evaluated(subject, Made(WorkError("no\nrows")))["absent"] == {"made": "no rows"}


def test_a_reason_of_many_lines_is_one_line_that_is_cut_wherever_a_benchmark_fails():
    """Worked by hand: `a` and 99 times ` ba` are 298 characters, so that ` b` are the last of 300."""
    said = f"ValueError: a{' ba' * 99} b…"
    error = ValueError("a\nb" * 500)

    class FailingGroup(Made):
        @property
        def by_group(self):
            raise error

    class FailingItem(Item):
        @property
        def text(self):
            raise error

    item = FailingItem.__new__(FailingItem)
    assert [read_benchmark(one, 0).why for one in (Made(error), FailingGroup([GOOD]), Made([item]))] == [
        f"it failed to give its rows: {said}",
        f"it failed to say whether it is scored by group: {said}",
        f"row 0 cannot be asked: it cannot be looked at: {said}",
    ]


def test_a_long_reason_is_cut(subject):
    (why,) = evaluated(subject, Made(ValueError("x" * 9999)))["absent"].values()
    assert 200 < len(why) < 400
    assert why.endswith("x…")


def test_a_benchmark_that_cannot_say_how_it_is_scored_is_absent_and_a_mistake_of_the_user_is_raised():
    class Failing(Made):
        @property
        def by_group(self):
            raise KeyError("no such task")

    class Ending(Made):
        @property
        def by_group(self):
            raise SystemExit

    why = "it failed to say whether it is scored by group"
    assert read_benchmark(Failing([GOOD]), 0) == Asked("made", why=f"{why}: KeyError: 'no such task'")
    assert read_benchmark(Ending([GOOD]), 0) == Asked("made", why=f"{why}: SystemExit")
    with pytest.raises(UsageError, match=r"^there is no such file$"):
        read_benchmark(Made(UsageError("there is no such file")), 0)


def test_a_benchmark_that_fails_names_the_package_that_it_is_from(with_plugins):
    @component("benchmark", "broken")
    class Broken:
        """Has no rows."""

        def items(self, num_samples, seed):
            sys.exit("no rows today")

    registry = with_plugins({"stlm-toy": [Broken]})
    broken = make_component("benchmark", "broken", registry=registry)
    why = "failed to give its rows: SystemExit: no rows today"
    assert read_benchmark(broken, 0, registry) == Asked("broken", why=f"stlm-toy {why}")
    assert read_benchmarks([broken], 0, Processes(), registry) == [Asked("broken", why=f"stlm-toy {why}")]
    with pytest.raises(WorkError, match=f"^it {why}$"):
        read_items(broken, 0)


def test_a_hub_that_is_away_is_one_reason_for_all(subject):
    away = [UnreachableError(f"data set `x/{name}`", "no hub") for name in ("a", "b")]
    made = [Made(error, selector) for error, selector in zip((*away, WorkError("it is gone")), "abc", strict=True)]
    found = evaluated(subject, *made)
    assert found == {"absent": {"a": "no hub", "b": "no hub", "c": "it is gone"}}
    assert by_reason(found["absent"]) == {"no hub": ["a", "b"], "it is gone": ["c"]}


def test_a_benchmark_says_whether_its_score_is_that_of_its_groups(subject):
    plain, by_group = (evaluated(subject, Letter(by_group=flag))["benchmarks"]["letter"] for flag in (False, True))
    assert plain["by_group"] == by_group["by_group"]
    assert by_group["acc"] == sum(group["acc"] for group in by_group["by_group"].values()) / 2
    assert plain["acc"] != by_group["acc"]


def test_a_record_is_given_for_each_row_and_progress_is_told(subject):
    records, told = [], []
    evaluated(subject, Letter(), sample=records.append, progress=lambda *said: told.append(said))
    assert [(record["benchmark"], record["row"]) for record in records] == [("letter", row) for row in range(3)]
    assert told[-1] == ("letter", 3, 3)


NAN = "the model computes what is not a number (NaN), of which no score can be made"
FAR = "the model computes a number that is not finite (it overflows), of which no score can be made"
PASSAGES = Passages("some", (Passage("abc", "letters", "easy"),))


def measured(subject, token_file, records, held_out=(0, 1, 3, 4)):
    """Measure everything that there is of a subject, and collect what is told of each part on the way."""
    parts = []
    data = HeldOut(token_file(held_out), NextTokenCrossEntropy(), batch_size=1, max_batches=9)
    asked = [read_benchmark(Letter(), 0)]
    found = evaluate_subject(subject, data, asked, records.append, passages=PASSAGES, finished=parts.append)
    return found, parts


@pytest.mark.parametrize(("value", "why"), [(float("nan"), NAN), (3e38, FAR)])
def test_a_model_that_computes_no_numbers_has_no_score_and_no_row(subject, token_file, value, why):
    """Of equal ones the first is taken, and nothing is greater than NaN: it would be right where 0 is."""
    table = subject.model.table.data.fill_(-value)
    table[:, 0] = value  # to which all others are so far that no float says how far
    records = []
    found, parts = measured(subject, token_file, records)
    assert found == {"absent": dict.fromkeys(("dataset_loss", "text_modeling", "letter"), why)}
    assert (records, parts) == ([], [])


def test_only_the_part_that_is_not_a_number_is_absent(subject, token_file):
    subject.model.table.data[3] = float("nan")  # what follows é: the end of a document, which is no text
    records = []
    found, parts = measured(subject, token_file, records)
    assert found["absent"] == {"dataset_loss": NAN}
    assert [list(part) for part in parts] == [["text_modeling"], ["benchmarks"]]
    assert {"held_out", "bits_per_byte"} <= set(found["text_modeling"])
    assert len(records) == 3


def test_held_out_text_alone_that_is_not_a_number_makes_that_of_passages_absent_too(subject, token_file):
    subject.model.table.data[3] = float("nan")  # what follows é, which the passages do not have
    found, parts = measured(subject, token_file, [], held_out=(0, 3, 1, 4))
    assert found["absent"] == {"dataset_loss": NAN, "text_modeling": NAN}
    assert [list(part) for part in parts] == [["benchmarks"]]
