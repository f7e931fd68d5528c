"""JSON keeps the digits that were sent, and what no other system could read is refused."""

from __future__ import annotations

from decimal import Decimal

import pytest

from esb.errors import NotValid
from esb.fhir import lexemes


@pytest.mark.parametrize(
    "lexeme", ["128.50", "0.00", "-0.0", "7.0", "1.10", "1.0E-7", "10000000000000000.10"]
)
def test_a_decimal_keeps_every_digit(lexeme):
    assert lexemes.dumps(lexemes.loads(f'{{"value":{lexeme}}}')) == f'{{"value":{lexeme}}}'.encode()


def test_a_decimal_can_be_compared():
    assert lexemes.loads('{"value": 128.50}')["value"] == Decimal("128.5")


def test_an_integer_longer_than_the_machine_keeps_its_digits():
    assert lexemes.dumps(lexemes.loads('{"value":123456789012345678901234567890}')).endswith(b"567890}")


def test_chinese_text_and_escapes_come_through_as_utf8():
    assert (
        lexemes.dumps(lexemes.loads(rb'{"text":"\u5f20\ud842\udfb7: \"a\""}'))
        == '{"text":"张𠮷: \\"a\\""}'.encode()
    )


@pytest.mark.parametrize(
    "raw",
    [
        b'{"value":NaN}',
        b'{"value":-Infinity}',
        b'{"text":"\\ud800"}',
        b'{"text":"\xff"}',
        b'{"id":"a","id":"b"}',
        b'{"text":"\\u003a","id":"a","id":"b"}',
        b'{"value":1e999999999}',
        b'{"value":1e99999999999999999999}',
        b'{"value":-1e-99999999999999999999}',
        b'{"text":"a\\u0000b"}',
        b'{"\\u0000":1}',
        b'{"value":' + b"9" * 5000 + b"}",
        b'{"a":' * 300 + b"1" + b"}" * 300,
        b"[" * 100_000,
        b"[1]",
        b'"text"',
        b'{"id":',
        b"",
        b'{"id":"a"} {"id":"b"}',
        b"{'id':'a'}",
    ],
)
def test_what_another_system_could_read_differently_is_refused(raw):
    with pytest.raises(NotValid) as refusal:
        lexemes.loads(raw)
    assert "9999" not in refusal.value.text


def test_a_byte_order_mark_is_no_obstacle():
    assert lexemes.loads(b'\xef\xbb\xbf{"id":"a"}') == {"id": "a"}


def test_a_patch_is_an_array():
    assert lexemes.loads_any('[{"op":"remove","path":"/a"}]')[0]["op"] == "remove"


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (
            rb'{"resourceType":"Patient","name":[{"text":"a"},{"given":["b","\ud800"]}]}',
            "Patient.name[1].given[1]",
        ),
        (rb'{"resourceType":"Patient","name":[{"text":"a\u0000"}]}', "Patient.name[0].text"),
        (
            b'{"resourceType":"Patient","contact":[{"gender":"male","gender":"male"}]}',
            "Patient.contact[0].gender",
        ),
        (
            b'{"resourceType":"Observation","valueQuantity":{"value":1e9999}}',
            "Observation.valueQuantity.value",
        ),
        (b'{"resourceType":"Observation","valueInteger":NaN}', "Observation.valueInteger"),
        (b'{"resourceType":"Patient","110101198002030013":{"a":1,"a":2}}', "Patient.?.a"),
        (b'{"resourceType":"Patient","110101198002030013":1,"110101198002030013":2}', "Patient.?"),
    ],
)
def test_the_element_of_what_cannot_be_kept_is_named_and_its_content_is_not(raw, place):
    with pytest.raises(NotValid) as refusal:
        lexemes.loads(raw)
    assert refusal.value.issues[0].path == place
    assert refusal.value.text.startswith(place)
    assert "110101198002030013" not in refusal.value.text


def test_a_text_that_only_looks_like_an_escaped_nul_is_kept():
    assert lexemes.loads(rb'{"text":"C:\\u0000"}')["text"] == r"C:\u0000"
