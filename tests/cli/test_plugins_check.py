"""`stlm plugins check`: a line a check, an exit status, one JSON document."""

import os
import re

import pytest

from stlm.testing.installed import put_metadata
from stlm.testing.scaffold import write_package
from tests.registry.installing import put_norm


@pytest.fixture
def installed_package(project, tmp_path):
    """A project with `stlm-probe`, an activation, that its commands find; and how to run them."""
    here = project()
    folder = write_package("stlm-probe", "activation", here.folder)
    put_metadata(folder, tmp_path / "site")
    path = os.pathsep.join((str(tmp_path / "site"), str(folder)))
    return folder, lambda *arguments: here.start(*arguments, PYTHONPATH=path)


def test_a_good_package_passes_with_a_line_for_each_check(installed_package):
    _, run = installed_package
    done = run("plugins", "check", "stlm-probe")
    assert done.status == 0, done.out + done.err
    first, *lines = done.out.splitlines()
    assert first == "activation probe"
    assert all(re.match(r"  (passed [\w-]+|skipped [\w-]+: .+)$", line) for line in lines[:-2])
    assert re.fullmatch(r"\d\d passed, 0 failed, \d skipped", lines[-1])


def test_a_broken_one_fails_with_the_reason_in_its_line(installed_package):
    folder, run = installed_package
    module = folder / "stlm_probe" / "module.py"
    module.write_text(module.read_text().replace("return x *", "torch.manual_seed(0)\n        return x *"))
    done = run("plugins", "check", "stlm-probe", "--only", "global-state", "--only", "shapes")
    assert done.status == 1
    assert done.out.splitlines() == [
        "activation probe",
        "  passed shapes",
        "  FAILED global-state: its forward pass changes torch's random state",
        "",
        "1 passed, 1 failed, 0 skipped",
    ]


def test_json_is_one_document(installed_package):
    folder, run = installed_package
    file = folder / "stlm_probe" / "module.py"
    file.write_text(file.read_text().replace("return x *", "print('noise')\n        return x *"))
    done = run("plugins", "check", "--kind", "activation", "--name", "probe", "--only", "shapes", "--json")
    assert done.status == 0
    outcome = {"kind": "activation", "name": "probe", "check": "shapes", "result": "passed", "why": ""}
    assert done.json == {"ok": True, "passed": 1, "failed": 0, "skipped": 0, "checks": [outcome]}


def test_the_checks_of_a_whole_package_can_be_asked_for_by_name(installed_package):
    _, run = installed_package
    done = run("plugins", "check", "stlm-probe", "--only", "contract", "--only", "entry-points")
    assert (done.status, done.out.splitlines()) == (
        0,
        ["package stlm-probe", "  passed contract", "  passed entry-points", "", "2 passed, 0 failed, 0 skipped"],
    )


def test_a_check_that_there_is_not_is_refused_whatever_is_wrong_with_the_package(project):
    made = project()
    put_norm(made.folder / "site", "stlm-ahead", "ahead", None, **{"contract.9": "stlm.registry"})
    done = made.start("plugins", "check", "stlm-ahead", "--only", "causalty", PYTHONPATH="site")
    assert (done.status, done.out) == (2, "")
    assert "there is no check `causalty`; did you mean `causality`?" in done.err


def test_one_of_stlms_own_components_is_looked_at_by_name_alone(project):
    done = project().run("plugins", "check", "--name", "rms_norm", "--only", "documented")
    assert (done.status, done.out.splitlines()[:2]) == (0, ["norm rms_norm", "  passed documented"])


def test_a_text_that_an_option_needs_is_said_by_set(project):
    here, command = project(), ("plugins", "check", "--kind", "tokenizer", "--name", "bpe", "--only", "vocabulary")
    done = here.run(*command, "--set", "vocab_size=10")
    assert (done.status, "FAILED vocabulary" in done.out) == (1, True)
    assert "`vocab_size` must be at least" in done.out
    assert here.run(*command, "--set", "vocab_size=290").status == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("stml",), "did you mean `stlm`?"),
        (("--kind", "norm", "--name", "rmsnorm"), "did you mean `rms_norm`?"),
        (("--kind", "norm"), "say what to check"),
        ((), "say what to check"),
        (("numpy",), "`numpy` is installed and brings no component"),
        (("--kind", "norm", "--name", "rms_norm@stlm-none"), "there is no norm `rms_norm@stlm-none`"),
        (("stlm", "--name", "rms_norm"), "say what to check"),
        (("stlm", "--set", "vocab_size=3"), "`--set` is about the spec of one component"),
        (("stlm", "--only", "causalty"), "did you mean `causality`?"),
        (("stlm", "--only", "contrakt"), "did you mean `contract`?"),
        (("--name", "rms_norm", "--only", "goes-back"), "`goes-back` is a check of components of other kinds"),
    ],
)
def test_a_mistake_is_one_line_with_the_nearest_name(project, arguments, says):
    done = project().run("plugins", "check", *arguments)
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert says in done.err


def test_a_reason_is_told_once_for_each_component(installed_package):
    folder, run = installed_package
    module = folder / "stlm_probe" / "module.py"
    module.write_text(module.read_text().replace("return x *", "return missing *"))
    done = run("plugins", "check", "stlm-probe", "--only", "shapes", "--only", "gradients")
    assert done.status == 1
    assert done.out.count("NameError: name 'missing' is not defined (module.py:") == 1
    assert "  FAILED gradients: for the same reason as shapes\n" in done.out


def test_a_fault_in_building_is_told_with_its_place_and_accuses_no_value(installed_package):
    folder, run = installed_package
    component = folder / "stlm_probe" / "probe.py"
    text = component.read_text()
    built = text.replace("        return ", "        return missing or ")
    component.write_text(built.replace("option(positive, ", "option("))  # 0 and -1 would be tried, and accused
    line = built[: built.index("missing")].count("\n") + 1
    checks = ("shapes", "shape-and-dtype-kept", "accepted-values", "every-option")
    only = [part for check in checks for part in ("--only", check)]
    done = run("plugins", "check", "stlm-probe", *only, "--traceback")
    why = "activation `probe` of stlm-probe cannot be built: NameError: name 'missing' is not defined"
    assert done.out.splitlines()[1:5] == [
        f"  FAILED shapes: {why} (probe.py:{line})",
        *(f"  FAILED {check}: for the same reason as shapes" for check in checks[1:]),
    ]
    assert done.err.count("Traceback (most recent call last)") == 1
    assert f'probe.py", line {line}, in build' in done.err
    assert "Traceback" not in run("plugins", "check", "stlm-probe", *only[:2]).err


def test_what_is_wrong_with_a_package_as_a_whole_is_told_without_torch(project):
    made = project()
    put_norm(made.folder / "site", "stlm-ahead", "ahead", None, **{"contract.9": "stlm.registry"})
    code = (
        "import sys\nfrom stlm.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nfinally:\n    print('torch' in sys.modules, file=sys.stderr)"
    )
    done = made.start("plugins", "check", "stlm-ahead", code=code, PYTHONPATH="site")
    assert (done.status, done.err) == (1, "False\n")
    title, line, *_ = done.out.splitlines()
    assert title == "package stlm-ahead"
    assert line.startswith("  FAILED contract: it needs version 9 of stlm's plugin contract, and stlm 0.1.0 has 1; ")


def test_a_name_that_stlm_has_is_a_failure_and_the_component_is_looked_at(project):
    made = project()
    put_norm(made.folder / "site", "stlm-thief", "rms_norm")
    done = made.start("plugins", "check", "stlm-thief", "--only", "documented", PYTHONPATH="site")
    assert (done.status, done.err) == (1, "")
    assert done.out.splitlines() == [
        "package stlm-thief",
        "  FAILED entry-points: stlm has norm `rms_norm` too: where both are installed, a spec that says no more than "
        "the name is refused, and must say whose it is, as `rms_norm@stlm-thief`",
        "",
        "norm rms_norm@stlm-thief",
        "  passed documented",
        "",
        "1 passed, 1 failed, 0 skipped",
    ]
