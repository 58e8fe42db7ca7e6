"""Reading compressed files."""

import gzip
from pathlib import Path
from unittest import mock

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from stlm.data.sources import compressed, text
from stlm.data.sources.files import FileDocuments
from stlm.spec.errors import WorkError

COMPRESS = {".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compressed")


def read(file: Path, **options: str) -> list[str]:
    (part,) = FileDocuments((file,), part_bytes=10, **options).parts()
    return list(part.documents())


@pytest.mark.parametrize("suffix", COMPRESS)
def test_text_and_json_lines_are_read_as_if_they_were_plain(folder: Path, suffix: str) -> None:
    rows, texts = folder / f"a.jsonl{suffix}", folder / f"a.txt{suffix}"
    rows.write_bytes(COMPRESS[suffix]('\ufeff{"text": "é"}\n\n{"text": "b"}\n'.encode()))
    texts.write_bytes(COMPRESS[suffix]("\ufeffé|b".encode()))
    assert read(rows) == read(texts, split_on="|") == ["é", "b"]
    assert read(texts) == ["é|b"]


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_bad_row_is_placed_as_in_the_plain_file(folder: Path, suffix: str) -> None:
    file = folder / f"bad.jsonl{suffix}"
    file.write_bytes(COMPRESS[suffix](b'{"text": "a"}\n\n{"text": "b"}\nno\n'))
    with pytest.raises(WorkError, match=r"bad\.jsonl\S+:4: this line is not JSON"):
        read(file)


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_long_text_is_found_again_within_a_compressed_file(folder: Path, suffix: str) -> None:
    file = folder / f"long.txt{suffix}"
    file.write_bytes(COMPRESS[suffix](b"short|" + b"long" * 20 + b"|end"))
    with mock.patch.multiple(text, LONG_BYTES=20, BLOCK=7, PIECE_BYTES=9):
        first, second, third = read(file, split_on="|")
        assert (first, "".join(second.pieces()), third) == ("short", "long" * 20, "end")


@given(
    frames=st.lists(st.binary(max_size=9).map(lambda data: data * 30), max_size=4),
    block=st.integers(1, 30),
    at_once=st.integers(1, 50),
)
def test_frames_follow_each_other(folder: Path, frames: list[bytes], block: int, at_once: int) -> None:
    file = folder / "frames.zst"
    file.write_bytes(b"".join(map(COMPRESS[".zst"], frames)))
    with mock.patch.object(compressed, "_BLOCK", block), compressed.decompressed(file) as handle:
        read = b"".join(iter(lambda: handle.read(at_once), b""))
    assert read == b"".join(frames)


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_file_that_is_cut_short_is_an_error(folder: Path, suffix: str) -> None:
    file = folder / f"cut.jsonl{suffix}"
    whole = COMPRESS[suffix](b"".join(b'{"text": "%d"}\n' % (i * i) for i in range(1000)))
    for length in (len(whole) - 1, len(whole) // 2, 5):
        file.write_bytes(whole[:length])
        with pytest.raises(WorkError, match="cannot read"):
            read(file)


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_file_that_is_not_compressed_is_an_error_of_one_line(folder: Path, suffix: str) -> None:
    file = folder / f"plain.txt{suffix}"
    file.write_bytes(b"this is plain text")
    with pytest.raises(WorkError) as caught:
        read(file)
    assert str(caught.value).startswith(f"cannot read `{file}`: ")
    assert "\n" not in str(caught.value)
