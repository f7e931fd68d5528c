"""Large Binaries as they come and go: in parts, from any place, in little memory."""

import base64
import gzip
import os
import tracemalloc
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import pytest

from esb.errors import Malformed
from esb.seal import NotTrusted, generate_keys, load_keys
from hie.api import asking
from hie.errors import TooLarge
from hie.repository import blobs, pieces
from tests.hub_world import Caller
from tests.integration.test_binaries import FHIR, PDF, app, kept

__all__ = ["app"]
LARGE = os.urandom(2_500_000)
SMALL = bytes(range(256))


@pytest.fixture
def call(app) -> Caller:
    return Caller(app, "bench")


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["in the text", "beside the database"])
@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=200-", 200, None),
        ("bytes=-50", -50, None),
        ("bytes=-9999999", 0, None),
        ("bytes=250-9999999", 250, None),
        (f"bytes=0-{pieces.PIECE}", 0, pieces.PIECE + 1),
    ],
)
def test_a_part_is_given_from_any_place(
    call: Caller, content: bytes, wanted: str, start: int, stop: int | None
) -> None:
    id_ = kept(call, content)
    answer = call("GET", f"/Binary/{id_}", Range=wanted)
    expected = content[start:stop]
    first = content.index(expected)
    assert (answer.status_code, answer.data) == (206, expected)
    assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(expected) - 1}/{len(content)}"
    assert answer.headers["Content-Length"] == str(len(expected))
    assert answer.content_type == PDF


@pytest.mark.parametrize("headers", [{}, {"If_Range": 'W/"1"', "Range": "bytes=0-9"}])
@pytest.mark.parametrize("wanted", ["bytes=0-1,5-9", "lines=0-9", "bytes=9-0", "bytes=x", "9"])
def test_what_is_no_range_of_bytes_gives_the_whole(call: Caller, headers: dict, wanted: str) -> None:
    answer = call("GET", f"/Binary/{kept(call, SMALL)}", **{"Range": wanted} | headers)
    assert (answer.status_code, answer.data) == (200, SMALL)
    assert answer.headers["Accept-Ranges"] == "bytes"


def test_a_part_behind_the_end_is_refused_with_the_size(call: Caller) -> None:
    answer = call("GET", f"/Binary/{kept(call, SMALL)}", Range="bytes=256-")
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, "bytes */256")
    assert answer.get_json()["resourceType"] == "OperationOutcome"


def test_who_has_it_already_gets_no_part_and_a_head_tells_the_whole(call: Caller) -> None:
    id_ = kept(call, LARGE)
    assert call("GET", f"/Binary/{id_}", Range="bytes=0-9", If_None_Match='W/"1"').status_code == 304
    head = call("HEAD", f"/Binary/{id_}", Range="bytes=0-9")
    assert (head.status_code, head.headers["Content-Length"], head.data) == (200, str(len(LARGE)), b"")


def test_a_large_upload_is_not_sent_back_unless_asked_for(call: Caller) -> None:
    made = call("POST", "/Binary", LARGE, Content_Type=PDF)
    assert (made.status_code, made.data) == (201, b"")
    id_ = made.headers["Location"].split("/Binary/")[1].split("/")[0]
    assert call("PUT", f"/Binary/{id_}", LARGE[1:], Content_Type=PDF).data == b""
    resource = call("GET", f"/Binary/{id_}", Accept=FHIR).get_json()
    assert base64.b64decode(resource["data"]) == LARGE[1:]
    small = call("POST", "/Binary", SMALL, Content_Type=PDF).get_json()
    assert base64.b64decode(small["data"]) == SMALL


def test_a_packed_upload_is_unpacked_as_it_comes(call: Caller, tmp_path: Path) -> None:
    id_ = kept(call, gzip.compress(LARGE) + gzip.compress(SMALL), Content_Encoding="gzip")
    assert call("GET", f"/Binary/{id_}").data == LARGE + SMALL
    before = {file for file in (tmp_path / "blobs").rglob("*") if file.is_file()}
    cut, huge = gzip.compress(LARGE)[:-9], gzip.compress(bytes(7 << 20))
    for sent, status in ((cut, 400), (huge, 413)):
        assert call("POST", "/Binary", sent, Content_Type=PDF, Content_Encoding="gzip").status_code == status
    assert {file for file in (tmp_path / "blobs").rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("step", [1, 7, 1000, 1 << 20])
def test_a_gzip_is_unpacked_however_it_is_cut_into_parts(step: int) -> None:
    content = b"x" * 300_000 + LARGE[:70_000]
    packed = gzip.compress(content[:200_000]) + gzip.compress(content[200_000:]) + b"\0" * 3

    def parts(whole: bytes) -> Iterator[bytes]:
        return (whole[at : at + step] for at in range(0, len(whole), step))

    assert b"".join(asking.unpacked_parts(parts(packed), 10**6)) == content
    with pytest.raises(TooLarge):
        list(asking.unpacked_parts(parts(packed), len(content) - 1))
    for cut in (packed[:-20], packed[:5], packed[:-3] + b"more"):
        with pytest.raises(Malformed):
            list(asking.unpacked_parts(parts(cut), 10**6))


@pytest.mark.parametrize("suite", ["intl", "sm"])
def test_what_was_changed_on_the_disk_is_not_given(tmp_path: Path, suite: str) -> None:
    own = load_keys(generate_keys("hub"))
    name = blobs.keep_own(tmp_path, own, token="t", parts=[LARGE, SMALL], suite=suite)
    (file,) = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert b"".join(blobs.find_own(tmp_path, own, token="t", name=name).read()) == LARGE + SMALL
    sealed = file.read_bytes()
    one = pieces.PIECE + pieces.TAG
    swapped = sealed[one : 2 * one] + sealed[:one] + sealed[2 * one :]
    for changed in (bytes([sealed[0] ^ 1]) + sealed[1:], swapped, sealed[one:]):
        file.write_bytes(changed)
        with pytest.raises(NotTrusted):
            list(blobs.find_own(tmp_path, own, token="t", name=name).read())
    content = blobs.find_own(tmp_path, own, token="t", name=name)
    file.write_bytes(sealed[:9])
    with pytest.raises(NotTrusted):
        list(content.read())
    for changed in (b"", sealed[:-1], sealed[:100]):
        file.write_bytes(changed)
        with pytest.raises(Malformed):
            blobs.find_own(tmp_path, own, token="t", name=name)
    file.write_bytes(sealed)
    other = load_keys(generate_keys("other"))
    for keys, owner in ((other, "t"), (own, "u")):
        with pytest.raises(NotTrusted):
            pieces.find(file, name, owner=owner, own=keys)


def test_a_content_of_any_size_passes_in_little_memory(tmp_path: Path) -> None:
    own = load_keys(generate_keys("hub"))
    part = os.urandom(1 << 16)
    tracemalloc.start()
    name = blobs.keep_own(tmp_path, own, token="t", parts=repeat(part, 640))
    found = blobs.find_own(tmp_path, own, token="t", name=name)
    assert sum(map(len, found.read())) == found.size == 640 << 16
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20


def test_an_upload_that_breaks_leaves_nothing_behind(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield LARGE
        raise Malformed

    with pytest.raises(Malformed):
        blobs.keep_own(tmp_path, load_keys(generate_keys("hub")), token="t", parts=broken())
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []
