"""Where a published model's files are found: a folder, the hub's cache, a hub."""

import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stlm.interchange.published import Published
from stlm.spec import UsageError, WorkError
from tests.interchange.hub import Hub, running_hub


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and a hub that cannot be reached."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    reach(monkeypatch, "http://127.0.0.1:9")
    return tmp_path / "cache"


def reach(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Let the hub be at an address."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")


@pytest.fixture
def hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that can be reached."""
    with running_hub() as running:
        reach(monkeypatch, running.address)
        yield running


def folder(path: Path, **files: str) -> Path:
    """Write the files of a model; two underscores in a name stand for a dot."""
    path.mkdir(parents=True, exist_ok=True)
    for name, content in {"config__json": '{"hidden_size": 8}', **files}.items():
        (path / name.replace("__", ".")).write_text(content)
    return path


INDEX = json.dumps({"weight_map": {"a": "one.safetensors", "b": "two.safetensors", "c": "one.safetensors"}})


@pytest.mark.parametrize(
    ("config", "width"),
    [
        ({"hidden_size": 8}, 8),
        ({"n_embd": 9}, 9),
        ({"d_model": 10}, 10),
        ({"dim": 11, "hidden_dim": 44}, 11),
        ({"emb_dim": 12}, 12),
        ({"hidden_size": 1024, "word_embed_proj_dim": 512}, 512),
        ({"hidden_size": 1024, "word_embed_proj_dim": None}, 1024),
        ({"layers": 3}, None),
        ({"hidden_size": "8"}, None),
        ({"hidden_size": True}, None),
        ({"hidden_size": 0}, None),
    ],
)
def test_the_width_is_found_by_whatever_name_it_goes(config, width, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert Published(str(tmp_path)).width() == width


def test_a_folder_is_one_wherever_it_is_run_from(tmp_path, monkeypatch):
    folder(tmp_path / "models" / "tiny")
    monkeypatch.chdir(tmp_path)
    for name in ("./models/tiny", "models/tiny", str(tmp_path / "models" / "tiny")):
        assert Published(name).at_hand().samefile(tmp_path / "models" / "tiny")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("./no/such", r"`./no/such` is no folder \(looked in"),
        ("a/b/c", "`a/b/c` is no folder"),
        ("./empty", "`./empty` holds no `config.json`"),
        ("two words", r"`two words` is neither a folder nor the name of a model on the hub \(`owner/name`\)"),
    ],
)
def test_what_is_no_model_is_a_mistake_about_its_name(name, message, tmp_path, monkeypatch, cache):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message) as caught:
        Published(name).at_hand()
    assert caught.value.key == "hf_model_name"


def test_a_damaged_config_is_a_mistake_about_the_name(tmp_path):
    folder(tmp_path, config__json='{"hidden_size": ')
    with pytest.raises(UsageError, match="cannot be read as a JSON mapping"):
        Published(str(tmp_path)).config()


def test_a_model_that_is_not_in_the_cache_is_said_with_the_command_that_gets_it(cache):
    with pytest.raises(WorkError, match=r"not in the hub's cache; `hf download some/model config.json` gets it"):
        Published("some/model").at_hand()
    with pytest.raises(WorkError, match=r"`hf download some/model config.json --revision v2`"):
        Published("some/model", "v2").at_hand()


def test_a_model_of_the_hub_is_downloaded_once_and_found_without_the_hub(hub, tmp_path, monkeypatch):
    files = folder(tmp_path / "files", model__safetensors="weights", README__md="not needed")
    commit = hub.add("some/model", files)
    source = Published("some/model")
    source.fetch(weights=True, code=True)
    assert source.at_hand().name == commit
    assert sorted(p.name for p in source.at_hand().iterdir()) == ["config.json", "model.safetensors"]
    reach(monkeypatch, "http://127.0.0.1:9")
    source.fetch(weights=True, code=True)
    assert (source.width(), source.has_weights()) == (8, True)


def test_where_trained_weights_follow_the_config_alone_is_downloaded(hub, tmp_path):
    hub.add("some/model", folder(tmp_path / "files", model__safetensors="weights"))
    source = Published("some/model")
    source.fetch(weights=False, code=False)
    assert (source.width(), source.has_weights()) == (8, False)


def test_each_revision_has_its_own_files(hub, tmp_path):
    first = hub.add("some/model", folder(tmp_path / "1", model__safetensors="1"))
    second = hub.add("some/model", folder(tmp_path / "2", config__json='{"hidden_size": 9}', model__safetensors="2"))
    other = hub.add("some/model", folder(tmp_path / "3", model__safetensors="3"), branch="other")
    for revision, commit, content in ((None, second, "2"), (first, first, "1"), ("other", other, "3")):
        source = Published("some/model", revision)
        source.fetch(weights=True, code=False)
        assert source.at_hand().name == commit
        assert source.find("model.safetensors").read_text() == content


def test_files_are_of_one_commit_though_the_branch_moves_between_them(hub, tmp_path):
    first = hub.add("some/model", folder(tmp_path / "1", model__safetensors="1"))
    source = Published("some/model")
    source.fetch(weights=False, code=False)
    hub.add("some/model", folder(tmp_path / "2", model__safetensors="2"))
    source.fetch(weights=True, code=False)
    assert source.at_hand().name == first
    assert source.find("model.safetensors").read_text() == "1"


def test_weights_over_several_files_are_whole_when_all_are_there(hub, tmp_path):
    files = {"model__safetensors__index__json": INDEX, "one__safetensors": "1", "two__safetensors": "2"}
    hub.add("some/model", folder(tmp_path / "files", **files))
    source = Published("some/model")
    source.fetch(weights=True, code=False)
    assert [source.find(f"{n}.safetensors").read_text() for n in ("one", "two")] == ["1", "2"]
    source.find("two.safetensors").unlink()
    assert not source.has_weights()
    hub.asked.clear()
    source.fetch(weights=True, code=False)
    assert source.has_weights()
    assert not any("one.safetensors" in line for line in hub.asked)


def test_pickled_weights_are_taken_where_there_are_no_others(hub, tmp_path):
    hub.add("some/model", folder(tmp_path / "files", pytorch_model__bin="weights"))
    source = Published("some/model")
    source.fetch(weights=True, code=False)
    assert source.has_weights()
    assert source.find("pytorch_model.bin") is not None


def test_a_damaged_index_is_one_line(tmp_path):
    folder(tmp_path, model__safetensors__index__json="{}")
    with pytest.raises(WorkError, match="cannot be read as an index of weights"):
        Published(str(tmp_path)).has_weights()


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/hostname"])
def test_an_index_leads_nowhere_outside_of_its_folder(name, tmp_path):
    folder(tmp_path, model__safetensors__index__json=json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(WorkError, match="is outside of its folder"):
        Published(str(tmp_path)).has_weights()


def test_code_is_fetched_only_where_it_is_asked_for_and_there_is_some(hub, tmp_path):
    config = '{"auto_map": {"AutoModel": "odd.Model"}}'
    hub.add("odd/model", folder(tmp_path / "odd", config__json=config, odd__py="1", other__py="2", big__bin="3"))
    hub.add("plain/model", folder(tmp_path / "plain", odd__py="1"))
    for name, code, found in (("odd/model", False, 0), ("odd/model", True, 2), ("plain/model", True, 0)):
        source = Published(name)
        source.fetch(weights=False, code=code)
        assert len(list(source.at_hand().glob("*.py"))) == found
        assert source.find("big.bin") is None


@pytest.mark.parametrize(
    ("name", "revision", "reason"),
    [("no/model", None, "no/model"), ("some/model", "nope", "nope"), ("bare/model", None, "has no weights on the hub")],
)
def test_what_the_hub_has_not_is_one_line(name, revision, reason, hub, tmp_path):
    hub.add("some/model", folder(tmp_path / "files", model__safetensors="weights"))
    hub.add("bare/model", folder(tmp_path / "bare"))
    with pytest.raises(WorkError, match=reason) as caught:
        Published(name, revision).fetch(weights=True, code=False)
    assert "\n" not in str(caught.value)
    assert f"`{name}`" in str(caught.value)


def test_a_hub_out_of_reach_is_said_at_once(cache):
    began = time.perf_counter()
    with pytest.raises(WorkError, match=r"its `config.json` must be downloaded once: http://127.0.0.1:9 cannot be rea"):
        Published("some/model").fetch(weights=True, code=False)
    assert time.perf_counter() - began < 5  # the hub's own client tries for 23 s


def test_a_hub_that_never_answers_is_given_up(cache, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        reach(monkeypatch, f"http://127.0.0.1:{listening.getsockname()[1]}")
        began = time.perf_counter()
        with pytest.raises(WorkError, match="cannot be reached"):
            Published("some/model").fetch(weights=True, code=False)
        assert time.perf_counter() - began < 8


class Bad(http.server.BaseHTTPRequestHandler):
    """A hub that answers HEAD as a good one, and then is bad in the way that its name says."""

    def do_HEAD(self) -> None:
        self.begin(200, 100)

    def begin(self, status: int, length: int) -> None:
        self.send_response(status)
        for name, value in (("ETag", '"1"'), ("X-Repo-Commit", "1" * 40), ("Content-Length", str(length))):
            self.send_header(name, value)
        self.end_headers()

    def do_GET(self) -> None:
        way = self.path.split("/")[1]
        if way == "silent":
            time.sleep(2)
        elif way == "broken":
            self.begin(500, 0)
        elif way == "dripping":
            self.begin(200, 100)
            for _ in range(20):
                self.wfile.write(b" ")
                time.sleep(0.1)
        elif way == "early":
            self.begin(200, 100)
            self.wfile.write(b'{"hidden_size"')
        else:
            page = b"<html>who are you?</html>"
            self.begin(200, len(page))
            self.wfile.write(page)

    def log_message(self, *arguments: object) -> None: ...


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ("silent", r"/silent/model/resolve/main/config.json cannot be had \(no answer within 0.5 s\)"),
        ("dripping", r"no answer within 0.5 s"),
        ("broken", r"status 500, Internal Server Error"),
        ("early", r"closed 86 bytes before the end"),
        ("html", r"is no JSON mapping"),
    ],
)
def test_what_a_bad_hub_does_is_said_in_one_line_and_soon(way, message, cache, monkeypatch, capfd):
    monkeypatch.setattr("stlm.interchange.served.PATIENCE_SECONDS", 0.5)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bad) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        reach(monkeypatch, f"http://127.0.0.1:{server.server_port}")
        began = time.perf_counter()
        with pytest.raises(WorkError, match=message) as caught:
            Published(f"{way}/model").fetch(weights=True, code=False)
        assert time.perf_counter() - began < 5  # the hub's own client tries for a minute and longer
        server.shutdown()
    assert "\n" not in str(caught.value)
    assert "huggingface_hub" not in "".join(capfd.readouterr())
    assert not list(cache.rglob("config.json"))


def test_a_page_that_stands_for_a_config_does_not_stay_in_the_cache(hub, tmp_path, cache):
    files = folder(tmp_path / "files", config__json="{<html>")
    hub.add("some/model", files)
    with pytest.raises(WorkError, match=r"gives as its `config.json` is no JSON mapping"):
        Published("some/model").fetch(weights=False, code=False)
    folder(tmp_path / "files")
    source = Published("some/model")
    source.fetch(weights=False, code=False)
    assert source.width() == 8


def test_a_file_of_the_cache_that_cannot_be_read_is_said_with_what_to_do(hub, tmp_path):
    hub.add("some/model", folder(tmp_path / "files"))
    source = Published("some/model")
    source.fetch(weights=False, code=False)
    source.find("config.json").write_text("<html>")
    with pytest.raises(
        UsageError, match=r"config.json` cannot be read as a JSON mapping; where it is deleted, it is do"
    ):
        source.config()


def test_an_offline_hub_is_not_asked(hub, tmp_path, monkeypatch):
    from huggingface_hub import constants

    hub.add("some/model", folder(tmp_path / "files"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WorkError, match=r"its `config.json` is not in the hub's cache, and HF_HUB_OFFLINE forbids"):
        Published("some/model").fetch(weights=True, code=False)
    assert not hub.asked
