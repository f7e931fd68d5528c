"""The operator's commands of the bus: what a new hospital needs at the broker."""

import json
from pathlib import Path

import pika
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from deploy.stack.rabbitmq import Broker
from esb.seal import generate_keys, public_part
from esb.topology import RECORDS
from hie.__main__ import main
from hie.directory.facilities import put_facility


@pytest.fixture
def passwords(fresh_database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A hub that knows H71, and a file of passwords."""
    monkeypatch.setenv("HIE_DATABASE_URL", fresh_database_url)
    engine = sa.create_engine(fresh_database_url)
    with Session(engine) as session, session.begin():
        put_facility(session, "H71", "H71", "", public_part(generate_keys("H71")))
    engine.dispose()
    return tmp_path / "broker.json"


def test_with_its_definitions_a_new_hospital_may_connect_and_send(
    passwords: Path, broker: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    words = {"admin": broker.password, "hub": "hub-word", "H71": "its-word"}
    passwords.write_text(json.dumps(words))
    main(["topology", "definitions", "--passwords", str(passwords)])
    printed = capsys.readouterr().out
    assert not [word for word in words.values() if word in printed]
    broker.management.call("POST", "definitions", json.loads(printed))
    with pika.BlockingConnection(pika.URLParameters(broker.url("H71", "its-word"))) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        properties = pika.BasicProperties(user_id="H71")
        channel.basic_publish(RECORDS, "H71.5", b"x", properties, mandatory=True)


def test_a_hospital_does_not_administer_the_broker(
    passwords: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    passwords.write_text(json.dumps({"hub": "b", "H71": "c"}))
    with pytest.raises(SystemExit):
        main(["topology", "definitions", "--passwords", str(passwords), "--admin", "H71"])
    assert "H71 is a hospital" in capsys.readouterr().err


def test_a_hospital_without_a_password_is_named(passwords: Path, capsys: pytest.CaptureFixture[str]) -> None:
    passwords.write_text(json.dumps({"admin": "a", "hub": "b"}))
    with pytest.raises(SystemExit):
        main(["topology", "definitions", "--passwords", str(passwords)])
    assert "no password for H71" in capsys.readouterr().err
