"""Large contents: lifted out of the message, uploaded to the real hub, before their entry goes on the bus."""

import base64
import os
import socket
import threading
from collections.abc import Iterator

import orjson
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session
from werkzeug.serving import make_server

from esb.blobs import name_of
from esb.seal import generate_keys, public_part
from front_end_processor.app import Processor, create_web
from front_end_processor.cache.tables import blob, outbox
from front_end_processor.console.filters import Filters
from front_end_processor.pipeline.uploads import HubAway, HubClient
from hie.app import create_app
from hie.config import Config as HubConfig
from hie.directory.clients import put_client
from hie.directory.facilities import put_facility
from tests.fep_world import PASSWORD, TOKEN, processor, rows, sent, settings

SECRET = "a secret of some length"
HUB = generate_keys("hub")
CONTENT = os.urandom(1_500_000)


@pytest.fixture
def fep(tmp_path, fresh_database_url: str) -> Iterator[Processor]:
    """A processor with a hub that listens on loopback."""
    folder = tmp_path / "hub"
    folder.mkdir()
    (folder / "hub.jwks").write_bytes(orjson.dumps(HUB))
    env = {
        "HIE_DATABASE_URL": fresh_database_url,
        "HIE_KEY_DIR": str(folder),
        "HIE_BLOB_DIR": str(folder / "blobs"),
    }
    hub = create_app(HubConfig.from_env(env))
    server = make_server("127.0.0.1", 0, hub, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    (tmp_path / "secret").write_text(SECRET)
    changes = {
        "FEP_HUB_URL": f"http://127.0.0.1:{server.server_port}",
        "FEP_CLIENT_ID": "fep.h01",
        "FEP_CLIENT_SECRET_FILE": str(tmp_path / "secret"),
    }
    settings(tmp_path, **changes)
    public = orjson.loads((tmp_path / "keys" / "own.public.jwks").read_bytes())
    (tmp_path / "keys" / "hub.public.jwks").write_bytes(orjson.dumps(public_part(HUB)))
    with Session(hub.extensions["hie"].engine) as session, session.begin():
        put_facility(session, "H01", "H01", "", public)
        put_client(session, "fep.h01", SECRET, "system/*.cruds", "H01")
    with processor(tmp_path, **changes) as made:
        yield made
    server.shutdown()
    thread.join()
    server.server_close()
    hub.extensions["hie"].engine.dispose()


def send_document(fep: Processor, name: str = "d1", content: bytes = CONTENT) -> None:
    document = {
        "resourceType": "DocumentReference",
        "id": name,
        "status": "current",
        "subject": {"reference": "Patient/p1"},
        "content": [
            {"attachment": {"contentType": "application/pdf", "data": base64.b64encode(content).decode()}}
        ],
    }
    headers = {"Authorization": f"Bearer {TOKEN}"}
    http = create_web(fep.inlet, fep.console, PASSWORD).test_client()
    assert http.post("/fhir/DocumentReference", json=document, headers=headers).status_code == 201


def test_a_large_content_reaches_the_hub_before_its_entry_may_go(fep, tmp_path):
    send_document(fep)
    assert fep.uploads is not None
    (entry,) = rows(fep, outbox)
    attachment = sent(fep)[0]["entry"][0]["resource"]["content"][0]["attachment"]
    name = name_of(CONTENT)
    assert (attachment["url"], attachment["size"]) == (f"blob:sha256:{name}", len(CONTENT))
    assert "data" not in attachment
    assert entry.eligible == 0
    assert fep.uploads.upload_once() == 1
    assert rows(fep, outbox)[0].eligible == 1
    assert rows(fep, blob)[0].content == b""
    assert [file.name for file in (tmp_path / "hub" / "blobs").rglob("*") if file.is_file()] == [name]


def test_a_content_waits_in_the_cache_sealed_while_the_hub_refuses(fep):
    send_document(fep)
    assert fep.uploads is not None
    fep.uploads._client._basic = base64.b64encode(b"fep.h01:wrong").decode()
    with pytest.raises(HubAway, match="HTTP 401"):
        fep.uploads.upload_once()
    (waiting,) = rows(fep, blob)
    assert (fep.uploads.waiting(), rows(fep, outbox)[0].eligible) == (1, 0)
    assert CONTENT[:64] not in waiting.content


def test_a_content_the_hub_refuses_holds_up_no_other_and_says_why(fep):
    send_document(fep)
    with fep.cache.writing() as connection:
        connection.execute(sa.update(blob).values(content=b"spoilt"))
    send_document(fep, "d2", CONTENT[::-1])
    assert fep.uploads is not None
    assert fep.uploads.upload_once() == 1
    assert [entry.eligible for entry in rows(fep, outbox)] == [0, 1]
    assert {row.hash: row.attempts for row in rows(fep, blob)} == {
        name_of(CONTENT): 1,
        name_of(CONTENT[::-1]): 0,
    }
    first = fep.console.one(1, Filters())
    assert "HTTP 4" in first.line.reason
    assert fep.uploads.upload_once() == 0
    assert sum(row.attempts for row in rows(fep, blob)) == 1


NONSENSE = {
    "a cut answer": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
    "no HTTP": b"hello\r\n\r\n",
    "a page": b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
    "no token": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "a list": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
    "no hub": b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE)
def test_what_answers_in_the_place_of_the_hub_is_waited_out(answer):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def speak() -> None:
            caller, _ = server.accept()
            with caller:
                while b"client_credentials" not in caller.recv(4096):
                    pass
                caller.sendall(answer)

        speaker = threading.Thread(target=speak)
        speaker.start()
        client = HubClient(f"http://127.0.0.1:{server.getsockname()[1]}", "fep.h01", SECRET)
        with pytest.raises(HubAway):
            client.put_blob("a" * 64, b"x")
        speaker.join(10)
