"""The console as the hospital's engineer sees it."""

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from front_end_processor.adapters.hl7v2.framing import HALF, TOO_LARGE
from front_end_processor.app import Processor, create_web
from front_end_processor.cache.tables import look, outbox
from front_end_processor.console.content import show
from front_end_processor.console.gate import Gate
from front_end_processor.console.view import LinkState
from front_end_processor.pipeline.capture import Received
from front_end_processor.pipeline.inlet_hl7 import Hl7Inlet
from front_end_processor.pipeline.inlets import wait
from tests.fep_world import PASSWORD, TOKEN, adt, capture, processor, rows


@pytest.fixture
def fep(tmp_path) -> Iterator[Processor]:
    """A processor that took one message, refused one and saw one twice."""
    with processor(tmp_path) as made:
        capture(made, adt("GOOD"))
        capture(made, adt("BAD", event="Z99"))
        capture(made, adt("GOOD"))
        yield made


@pytest.fixture
def stranger(fep: Processor) -> FlaskClient:
    """A browser that has not signed in."""
    return create_web(fep.inlet, fep.console, PASSWORD).test_client()


@pytest.fixture
def engineer(stranger: FlaskClient) -> FlaskClient:
    """A browser that has signed in."""
    assert stranger.post("/login", data={"password": PASSWORD}).status_code == 302
    return stranger


def token_in(page: str) -> str:
    found = re.search(r'name="token" value="([^"]+)"', page)
    assert found
    return found[1]


def test_nobody_sees_messages_without_signing_in(stranger):
    for address in ("/", "/messages/1", "/messages/1/content"):
        answer = stranger.get(address)
        assert (answer.status_code, "/login" in answer.headers["Location"]) == (302, True)
    assert stranger.post("/messages/2/replay").status_code == 302


def test_a_wrong_password_is_refused_and_guessing_is_slowed_down(stranger):
    statuses = [stranger.post("/login", data={"password": "x"}).status_code for _ in range(6)]
    assert statuses == [401] * 5 + [429]
    assert stranger.post("/login", data={"password": PASSWORD}).status_code == 429


@pytest.mark.parametrize(
    "target",
    ["//evil.example/", "/\\evil.example", "/\t/evil.example", "/\n/evil.example", "/a\\b", "/张", "x"],
)
def test_after_signing_in_only_an_address_of_our_own_is_gone_to(stranger, target):
    answer = stranger.post("/login", data={"password": PASSWORD, "next": target})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/")


def test_what_is_not_ascii_in_a_number_a_password_or_a_token_is_no_error(engineer):
    assert [engineer.get(f"/?{key}=²").status_code for key in ("before", "after")] == [200, 200]
    assert engineer.get("/messages/²").status_code == 404
    assert engineer.post("/messages/2/replay", data={"token": "张"}).status_code == 400
    assert engineer.post("/login", data={"password": "张"}).status_code == 401


def test_after_signing_in_one_never_lands_on_another_site(stranger):
    answer = stranger.post("/login", data={"password": PASSWORD, "next": "//evil.example/"})
    assert answer.headers["Location"] == "/"


def test_the_list_shows_each_message_with_its_fate_and_reason(engineer):
    page = engineer.get("/").text
    assert "GOOD" in page
    assert "待发送" in page
    assert "本机不接收事件 ADT^Z99。" in page
    assert "+1 次重复" in page
    assert "The event ADT^Z99 is not taken." in engineer.get("/?lang=en").text


def test_when_the_hub_has_stored_it_the_list_says_so_and_when(engineer, fep):
    with fep.cache.writing() as connection:
        at = datetime(2026, 4, 1, 2, 3, 4, tzinfo=UTC)
        connection.execute(sa.update(outbox).values(confirmed_at=at, settled_at=at, fate="stored"))
    page = engineer.get("/").text
    assert "中心已入库" in page
    assert "2026-04-01 10:03:04" in page


def test_what_the_hub_has_superseded_is_said_to_be_older_than_what_it_holds(engineer, fep):
    with fep.cache.writing() as connection:
        at = datetime(2026, 4, 1, 2, 3, 4, tzinfo=UTC)
        connection.execute(sa.update(outbox).values(confirmed_at=at, settled_at=at, fate="superseded"))
    for address in ("/", "/messages/1"):
        assert "中心已有业务时间更晚的内容" in engineer.get(f"{address}?lang=zh").text
        assert "The hub holds a later state, by source time" in engineer.get(f"{address}?lang=en").text


def test_each_language_calls_the_hospital_by_its_name_in_it(tmp_path):
    with processor(tmp_path, FEP_NAME_EN="Test Hospital") as fep:
        page = create_web(fep.inlet, fep.console, PASSWORD).test_client()
        chinese, english = (page.get(f"/login?lang={language}").text for language in ("zh", "en"))
    assert "测试医院" in chinese and "Test Hospital" not in chinese
    assert "Test Hospital" in english and "测试医院" not in english


def test_every_time_of_a_page_is_in_the_hospitals_zone(engineer, fep, tmp_path):
    raw = adt("GOOD", name="李^四")
    wait(fep.capture.take(Received("mllp", raw, may_reuse=True)))
    newest = rows(fep)[-1]
    page = engineer.get(f"/messages/{newest.seq}").text
    first = rows(fep)[0].received_at.astimezone(ZoneInfo("Asia/Shanghai"))
    assert f"控制号已用于另一内容（消息 1，接收于 {first:%Y-%m-%d %H:%M:%S}）" in page


def test_one_resource_is_one_resource(engineer, fep):
    capture(fep, adt("ONE", event="A29"))
    seq = rows(fep)[-1].seq
    assert "1 resource<" in engineer.get(f"/messages/{seq}?lang=en").text


@pytest.mark.parametrize(
    ("question", "shown"),
    [
        ("fate=set_aside", {"BAD"}),
        ("fate=waiting", {"GOOD"}),
        ("fate=stored", set()),
        ("fate=repeated", {"GOOD"}),
        ("kind=A01", {"GOOD"}),
        ("control_id=AD", {"BAD"}),
        ("inlet=fhir", set()),
        ("since=2020-01-01T00:00", {"GOOD", "BAD"}),
        ("until=2020-01-01T00:00", set()),
        ("control_id=%25", set()),
    ],
)
def test_the_list_can_be_filtered(engineer, question, shown):
    page = engineer.get(f"/?{question}").text
    assert {one for one in ("GOOD", "BAD") if f'class="code">{one}<' in page} == shown


def test_the_list_is_paged_newest_first(engineer, fep):
    for number in range(60):
        capture(fep, adt(f"M{number:02}"))
    first = engineer.get("/").text
    assert "M59" in first
    assert "M05" not in first
    onward = re.search(r'rel="next" href="([^"]+)"', first)
    assert onward
    second = engineer.get(onward[1].replace("&amp;", "&")).text
    assert "M05" in second
    assert "GOOD" in second
    back = re.search(r'rel="prev" href="([^"]+)"', second)
    assert back
    assert "M59" in engineer.get(back[1].replace("&amp;", "&")).text


def test_content_is_shown_on_request_only_and_every_look_is_noted(engineer, fep):
    assert "张三" not in engineer.get("/").text + engineer.get("/messages/1").text
    page = engineer.get("/messages/1/content").text
    assert "<b>PID</b>|1||P1^^^H01^MR||张^三" in page
    assert "&#34;resourceType&#34;: &#34;Patient&#34;" in page
    with fep.cache.reading() as connection:
        looks = connection.execute(sa.select(look.c.who, look.c.action, look.c.seq)).all()
    assert looks == [("engineer", "look", 1)]


def test_a_set_aside_message_is_replayed_from_its_page(engineer, fep, monkeypatch):
    page = engineer.get("/messages/2").text
    assert "重新处理" in page
    again = engineer.post("/messages/2/replay", data={"token": token_in(page)}, follow_redirects=True)
    assert "重新处理后仍被搁置" in again.text
    assert rows(fep, look)[0].action == "replay"


def test_a_message_is_captured_when_its_cause_is_gone(engineer, fep, monkeypatch):
    old = adt("OLD").replace(b"|2.5|", b"|2.0|")
    number = capture(fep, old).seq
    page = engineer.get(f"/messages/{number}?fate=set_aside").text
    assert "本机不接收 HL7 版本 2.0。" in page
    monkeypatch.setitem(fep.profile.hl7v2, "versions", ["2.0", "2.5"])
    token = token_in(page)
    again = engineer.post(f"/messages/{number}/replay", data={"token": token}, follow_redirects=True)
    assert "已重新处理，消息正发往中心。" in again.text
    assert "待发送" in again.text


def test_the_messages_beside_one_are_those_asked_for(engineer, fep):
    worse = capture(fep, adt("WORSE", event="Z98")).seq
    page = engineer.get("/messages/2?fate=set_aside").text
    assert 'rel="prev"' not in page
    assert f'rel="next" href="/messages/{worse}?fate=set_aside"' in page
    assert 'rel="prev" href="/messages/1"' in engineer.get("/messages/2").text


def test_the_links_state_is_told_with_its_time(engineer, fep):
    assert "未配置总线" in engineer.get("/").text
    since = datetime(2026, 4, 1, 2, 3, 4, tzinfo=UTC)
    fep.console.link = lambda: LinkState(False, since)
    assert "总线断开，自 04-01 10:03:04" in engineer.get("/").text
    fep.console.link = lambda: LinkState(True, since)
    assert "总线已连接" in engineer.get("/").text


@pytest.mark.parametrize(
    "question", ["before=²", "after=x", "since=0001-01-01T00:00", "refresh=1", "fate=nothing", "lang=xx"]
)
def test_an_address_nobody_could_click_together_harms_nothing(engineer, question):
    assert engineer.get(f"/?{question}").status_code == 200


def test_a_message_far_out_of_range_is_not_found(engineer):
    assert engineer.get(f"/messages/{10**30}").status_code == 404


def test_numbers_keep_their_digits_in_the_content():
    bundle = b'{"entry":[{"request":{"method":"PUT","url":"Observation/1"},"resource":{"value":12.50}}]}'
    shown = show(b"MSH|^~\\&|A\rPID|1\r", "utf-8", [bundle])
    assert shown.resources == [("PUT Observation/1", '{\n  "value": 12.50\n}')]
    assert shown.lines == [("MSH", "|^~\\&|A"), ("PID", "|1")]


def test_a_content_that_is_not_shown_whole_says_so(engineer, fep):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    many = [{"resource": {"resourceType": "Patient", "id": f"p{number}"}} for number in range(51)]
    for entries, said in ((many[:50], False), (many, True)):
        body = {"resourceType": "Bundle", "type": "collection", "entry": entries}
        assert engineer.post("/fhir", json=body, headers=headers).status_code == 200
        page = engineer.get(f"/messages/{rows(fep)[-1].seq}/content?lang=en").text
        assert ("only the first part is shown" in page) == said


def test_guesses_from_everywhere_do_not_fill_the_memory(monkeypatch):
    gate, now = Gate(PASSWORD), 1000.0
    monkeypatch.setattr("front_end_processor.console.gate.time.monotonic", lambda: now)
    for number in range(5000):
        now += 1
        gate.admits("x", f"10.0.{number // 256}.{number % 256}")
    assert len(gate._failures) <= 1000
    assert not gate.is_shut("10.0.0.1")


def test_there_is_an_icon_and_the_style_is_small(stranger):
    with stranger.get("/favicon.ico") as icon, stranger.get("/static/console.css") as style:
        assert icon.mimetype == "image/svg+xml"
        assert len(style.data) < 12_000


def test_a_post_without_the_pages_token_does_nothing(engineer, fep):
    assert engineer.post("/messages/2/replay", data={"token": "x"}).status_code == 400
    assert rows(fep, look) == []


def test_a_message_that_was_captured_cannot_be_replayed(engineer):
    token = token_in(engineer.get("/messages/2").text)
    assert engineer.post("/messages/1/replay", data={"token": token}).status_code == 409


def test_the_console_speaks_english_too(engineer):
    page = engineer.get("/?lang=en").text
    assert "Waiting to be sent" in page
    assert 'lang="en"' in page
    assert "Set aside here" in engineer.get("/messages/2").text


def test_pages_allow_no_script_and_nothing_from_elsewhere(engineer):
    for address in ("/", "/messages/1", "/nowhere"):
        answer = engineer.get(address)
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert "<script" not in answer.text
        assert "http://" not in answer.text.replace("http://localhost", "")
        assert answer.headers["Cache-Control"] == "no-store"


def test_what_is_not_there_is_said_plainly(engineer):
    assert engineer.get("/messages/999").status_code == 404
    assert engineer.get("/nowhere").status_code == 404


def test_health_and_metrics_need_no_sign_in_and_hold_no_patient_data(stranger):
    assert stranger.get("/healthz").status_code == 200
    text = stranger.get("/metrics").text
    assert 'fep_messages{inlet="mllp",fate="captured",kind="ADT^A01"} 1' in text
    assert "fep_unsettled 1" in text
    assert "fep_repeats 1" in text
    assert "# TYPE fep_oldest_unsettled_seconds gauge" in text
    assert "P1" not in text


SECRET_ADDRESSES = (
    ("PUT", "/fhir/Patient/MRN0012345"),
    ("PUT", "/fhir/Patient?identifier=urn:oid:2.16.156.10011.1.3|MRN0012345"),
    ("PUT", "/fhir/MRN0012345/1"),
    ("DELETE", "/fhir/Patient?identifier=MRN0012345"),
)


@pytest.mark.parametrize(("method", "address"), SECRET_ADDRESSES)
def test_the_number_in_the_address_of_a_refused_request_is_content(engineer, fep, method, address):
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/fhir+json"}
    body = {"resourceType": "Patient", "id": "MRN0012345", "gender": "M"}
    assert engineer.open(address, method=method, headers=headers, json=body).status_code in (400, 404, 422)
    number = rows(fep)[-1].seq
    unasked = [engineer.get(page).text for page in ("/metrics", "/", f"/messages/{number}")]
    assert not any("MRN0012345" in text for text in unasked)
    assert "MRN0012345" in engineer.get(f"/messages/{number}/content").text


def test_requests_that_were_refused_are_told_apart_by_their_addresses(engineer, fep):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    for address in ("/fhir/Foo/1", "/fhir/Bar/2", "/fhir/Bar/2"):
        assert engineer.delete(address, headers=headers).status_code == 404
    refused = rows(fep)[-2:]
    assert [(row.request, row.repeats) for row in refused] == [("DELETE Foo/1", 0), ("DELETE Bar/2", 1)]


def test_a_stump_of_a_message_can_be_read_and_not_replayed(engineer, fep):
    stump = adt("STUMP")[:-80]
    asyncio.run(_refused(Hl7Inlet(fep.capture, fep.profile), stump, HALF, len(stump)))
    row = rows(fep)[-1]
    page = engineer.get(f"/messages/{row.seq}").text
    assert "消息没有完整到达，不能重新处理" in page and 'action="/messages' not in page
    assert "张^三" in engineer.get(f"/messages/{row.seq}/content").text
    token = token_in(engineer.get("/messages/2").text)
    again = engineer.post(f"/messages/{row.seq}/replay", data={"token": token})
    assert (again.status_code, "须由发送方重发" in again.text) == (409, True)
    assert rows(fep)[-1].fate == "set_aside"


def test_the_size_of_what_was_too_large_is_told(engineer, fep):
    beginning = adt("LARGE")
    reason = TOO_LARGE.format(limit=100_000)
    asyncio.run(_refused(Hl7Inlet(fep.capture, fep.profile), beginning, reason, 123_456_789))
    row = rows(fep)[-1]
    assert row.size == 123_456_789
    assert "123456789" in engineer.get(f"/messages/{row.seq}").text
    assert "张^三" in engineer.get(f"/messages/{row.seq}/content").text


async def _refused(inlet: Hl7Inlet, raw: bytes, reason: str, size: int) -> None:
    await inlet.refuse(raw, "127.0.0.1:1", reason, size)
