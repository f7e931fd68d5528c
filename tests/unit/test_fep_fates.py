"""What becomes of a message that meets what is known of its sender and control id."""

from datetime import UTC, datetime

from front_end_processor.cache.fates import Known, Verdict, decide

AT = datetime(2026, 4, 1, tzinfo=UTC)
ONE, TWO = b"1" * 32, b"2" * 32


def known(seq: int, content: bytes, *, captured: bool = True) -> Known:
    return Known(seq, content, captured, "", AT)


def test_a_new_message_is_captured():
    assert decide([], ONE, "", may_reuse=False, replaces=None).fate is Verdict.CAPTURED


def test_the_same_message_again_is_acknowledged_and_not_doubled():
    decision = decide([known(7, ONE)], ONE, "", may_reuse=False, replaces=None)
    assert (decision.fate, decision.seq) == (Verdict.REPEATED, 7)


def test_a_message_captured_before_is_known_even_if_it_would_be_refused_today():
    decision = decide([known(7, ONE)], ONE, "no PID", may_reuse=False, replaces=None)
    assert decision.fate is Verdict.REPEATED


def test_a_control_id_over_other_content_is_set_aside_with_the_reason():
    decision = decide([known(7, ONE)], TWO, "", may_reuse=False, replaces=None)
    assert decision.fate is Verdict.SET_ASIDE
    assert "message 7" in decision.reason


def test_a_hospital_whose_control_ids_run_in_circles_may_use_them_again():
    assert decide([known(7, ONE)], TWO, "", may_reuse=True, replaces=None).fate is Verdict.CAPTURED


def test_a_refused_message_sent_again_keeps_its_one_row():
    decision = decide([known(7, ONE, captured=False)], ONE, "no PID", may_reuse=False, replaces=None)
    assert (decision.fate, decision.seq) == (Verdict.SET_ASIDE, 7)


def test_a_refused_message_that_can_be_mapped_by_now_is_captured_in_its_row():
    decision = decide([known(7, ONE, captured=False)], ONE, "", may_reuse=False, replaces=None)
    assert (decision.fate, decision.seq) == (Verdict.CAPTURED, 7)


def test_an_engineer_may_replay_over_a_control_id_used_twice():
    decision = decide([known(3, TWO), known(7, ONE, captured=False)], ONE, "", may_reuse=False, replaces=7)
    assert (decision.fate, decision.seq) == (Verdict.CAPTURED, 7)


def test_a_replay_does_not_double_what_was_captured_meanwhile():
    decision = decide([known(9, ONE)], ONE, "", may_reuse=False, replaces=7)
    assert (decision.fate, decision.seq) == (Verdict.REPEATED, 9)
