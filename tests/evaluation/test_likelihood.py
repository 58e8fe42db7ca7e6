"""Log-likelihoods of many requests at once: what each has alone, whatever is shared and however it is batched."""

import random
from itertools import product
from types import SimpleNamespace

import pytest
import torch

from stlm.compiler import compile
from stlm.evaluation import batching, scoring
from stlm.evaluation.likelihood import log_likelihoods, score_requests
from stlm.evaluation.requests import Request
from stlm.evaluation.subject import Subject
from stlm.registry.manager import installed
from stlm.spec import SpecError
from tests.evaluation.conftest import Bigram

WINDOW = 24
CPU = torch.device("cpu")


def alone(model, request, window=WINDOW):
    """The plain way: one text at a time, all logits, and the sum over the continuation; greedy where all are best."""
    text = (request.context + request.continuation)[-(window + 1) :]
    count = min(len(request.continuation), len(text) - 1)
    if count == 0:
        return 0.0, True
    with torch.no_grad():
        logs = model(torch.tensor([text[:-1]]))[0].double().log_softmax(-1)[-count:]
    wanted = torch.tensor(text[-count:])
    return float(logs.gather(1, wanted.unsqueeze(1)).sum()), bool((logs.argmax(1) == wanted).all())


def requests():
    """Every shape of request: shared beginnings, single tokens, empty contexts, equal choices, texts too long."""
    draw = random.Random(0)

    def tokens(count):
        return [draw.randrange(290) for _ in range(count)]

    made = []
    for _ in range(12):
        context = tokens(draw.randrange(1, 12))
        made += [Request(context, tokens(draw.randrange(1, 9))) for _ in range(4)]
        shared = tokens(2)
        made += [Request(context, [*shared, *tokens(3)]), Request(context, shared), Request(context, shared)]
        made += [Request(context, [token]) for token in tokens(3)]
        made += [Request([*context, *shared], tokens(2)), Request(context[:-1] or [0], context[-1:])]
        made += [Request([0], tokens(6)), Request([0], tokens(1))]
        long = tokens(draw.randrange(20, 40))
        made += [Request(long, tokens(draw.randrange(1, 9))) for _ in range(3)]
        made += [Request(long, [long[0]]), Request(tokens(3), tokens(30)), Request(context, [])]
    draw.shuffle(made)
    return made


def wide(model):
    """Weights drawn so wide that likelihoods are far apart."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
    return model.eval()


VARIANTS = list(product(*(installed().only({"stlm"}).names(kind) for kind in ("attention", "positional_encoding"))))


@pytest.fixture
def subject_of(tiny_spec):
    def make(*overrides):
        spec = tiny_spec(f"model.context_window={WINDOW}", *overrides)
        return Subject(wide(compile(spec, "cpu").model), None, WINDOW, CPU)

    return make


@pytest.mark.parametrize(("attention", "encoding"), VARIANTS)
def test_every_request_scores_as_it_does_alone(subject_of, monkeypatch, attention, encoding):
    try:
        subject = subject_of(f"model.attn.attn_type={attention}", f"model.positional_encoding_type={encoding}")
    except SpecError as error:
        pytest.skip(str(error))
    if subject.sees_answers:
        pytest.skip("sees what follows; its pseudo-log-likelihood has tests of its own")
    asked = requests()
    expected = [alone(subject.model, request) for request in asked]
    for most in (64, 512):
        monkeypatch.setattr(batching, "CPU_TOKENS", most)
        for one, (value, greedy) in zip(score_requests(subject, asked), expected, strict=True):
            assert abs(one.log_likelihood - value) <= 1e-4 + 1e-6 * abs(value)
            assert one.greedy == greedy
    texts = [len(request.context) + len(request.continuation) for request in asked]
    assert [one.cut for one in score_requests(subject, asked)] == [length > WINDOW + 1 for length in texts]


class Unbranched(torch.nn.Module):
    """The same network behind an interface that knows nothing of branches."""

    def __init__(self, model):
        super().__init__()
        self.model, self.head = model, model.head
        self.read = 0

    def token_states(self, token_ids, *, positions=None, segments=None):
        self.read += token_ids.numel()
        return self.model.token_states(token_ids, positions=positions, segments=segments)


def test_a_network_that_takes_no_branches_reads_each_text_by_itself(subject_of):
    subject = subject_of()
    plain = Subject(Unbranched(subject.model), None, WINDOW, CPU)
    assert subject.takes_branches
    assert not plain.takes_branches
    asked = requests()
    assert log_likelihoods(plain, asked) == pytest.approx(log_likelihoods(subject, asked), rel=1e-5, abs=1e-4)


def with_the_one_before(x):
    return x + torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], dim=1)


@pytest.mark.parametrize(
    ("part", "act"),
    [("positional_encoding", "at_input"), ("head", "token_states"), ("core.blocks.0.ffn", "forward")],
)
def test_a_part_that_says_nothing_may_let_positions_meet(subject_of, part, act):
    subject = subject_of()
    module = subject.model.get_submodule(part)
    before = getattr(type(module), act, lambda _, x, *more: x)
    looks_back = lambda self, x, *more: with_the_one_before(before(self, x, *more))  # noqa: E731
    module.__class__ = type("LooksBack", (type(module),), {act: looks_back})
    assert not subject.takes_branches
    asked = [Request(list(range(1, 13)), [20 + choice, 7, 8]) for choice in range(4)]
    expected = [alone(subject.model, request)[0] for request in asked]
    assert log_likelihoods(subject, asked) == pytest.approx(expected, rel=1e-5)


def test_choices_of_one_token_are_read_off_their_context(subject_of):
    plain = Subject(Unbranched(subject_of().model), None, WINDOW, CPU)
    log_likelihoods(plain, [Request([1, 2, 3, 4], [token]) for token in range(50)])
    assert plain.model.read == 4


def test_a_context_is_read_once_for_all_its_choices(subject_of):
    subject = subject_of()
    read = []
    subject.model.embedder.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    log_likelihoods(subject, [Request(list(range(1, 13)), [20 + choice, 7, 8]) for choice in range(4)])
    assert sum(ids.numel() for ids in read) == 12 + 4 * 2


def test_no_requests_are_no_work(subject_of):
    assert score_requests(subject_of(), []) == []


def half_greedy(following):
    """Requests whose tokens are each the likeliest, by what ``following`` says of a text, or are so but for one."""
    draw = random.Random(1)
    made, greedy = [], []
    for count in (1, 2, 3, 5, 7) * 4:
        context = [draw.randrange(290) for _ in range(draw.randrange(1, 14))]
        text = list(context)
        for _ in range(count):
            text.append(following(text))
        chosen, places = text[len(context) :], sorted({0, count // 2, count - 1})
        others = [[*chosen[:at], (chosen[at] + 1) % 290, *chosen[at + 1 :]] for at in places]
        made += [Request(context, continuation) for continuation in (chosen, *others)]
        greedy += [True, *[False] * len(others)]
    order = draw.sample(range(len(made)), len(made))
    return [made[index] for index in order], [greedy[index] for index in order]


@pytest.mark.parametrize("branches", [True, False])
@pytest.mark.parametrize(("most", "rows_at_once"), [(16, 3), (64, 512), (512, 7)])
def test_a_continuation_is_greedy_where_each_of_its_tokens_is(subject_of, monkeypatch, branches, most, rows_at_once):
    subject = subject_of()
    with torch.no_grad():
        asked, expected = half_greedy(lambda text: int(subject.model(torch.tensor([text]))[0, -1].argmax()))
    if not branches:
        subject = Subject(Unbranched(subject.model), None, WINDOW, CPU)
    monkeypatch.setattr(batching, "CPU_TOKENS", most)
    monkeypatch.setattr(scoring, "ROWS_AT_ONCE", rows_at_once)
    assert [one.greedy for one in score_requests(subject, asked)] == expected


@pytest.mark.parametrize(("most", "rows_at_once"), [(16, 3), (64, 512), (512, 7)])
def test_a_continuation_whose_tokens_are_hidden_in_turn_is_greedy_where_each_is(monkeypatch, most, rows_at_once):
    model = Bigram(torch.randn(300, 300, generator=torch.Generator().manual_seed(0)))
    model.causal = False
    likeliest = model.table.argmax(dim=1).tolist()
    asked, expected = half_greedy(lambda text: likeliest[text[-1]])
    monkeypatch.setattr(batching, "CPU_TOKENS", most)
    monkeypatch.setattr(scoring, "ROWS_AT_ONCE", rows_at_once)
    subject = Subject(model, SimpleNamespace(mask_id=299), WINDOW, CPU)
    assert [one.greedy for one in score_requests(subject, asked)] == expected
