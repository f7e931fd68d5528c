"""Large contents: lifted out of the message, uploaded to the real hub, before their entry goes on the bus."""

import base64
import os
import threading
from collections.abc import Iterator

import orjson
import pytest
from sqlalchemy.orm import Session
from werkzeug.serving import make_server

from esb.blobs import name_of
from esb.seal import generate_keys, public_part
from front_end_processor.app import Processor, create_web
from front_end_processor.cache.tables import blob, outbox
from front_end_processor.pipeline.uploads import HubAway
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


def send_document(fep: Processor) -> None:
    document = {
        "resourceType": "DocumentReference",
        "id": "d1",
        "status": "current",
        "subject": {"reference": "Patient/p1"},
        "content": [
            {"attachment": {"contentType": "application/pdf", "data": base64.b64encode(CONTENT).decode()}}
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
