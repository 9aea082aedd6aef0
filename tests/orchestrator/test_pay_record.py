"""What rounds have really brought overrules what they were foretold to bring."""

from orchestrator.pay_record import PayRecord

NUM_SESSIONS = 16


def record_of(*, alone_seconds: float, drafted_seconds: float, num_sessions: int = NUM_SESSIONS) -> PayRecord:
    """Rounds of one token alone and of three tokens with drafts, eight of each session."""
    record = PayRecord()
    add_drafted(record, drafted_seconds, num_sessions)
    add_alone(record, alone_seconds, num_sessions)
    return record


def add_drafted(record: PayRecord, seconds: float, num_sessions: int = NUM_SESSIONS) -> None:
    for _ in range(8 * num_sessions):
        record.begin_round(num_sessions, is_drafted=True)
        record.note(num_sessions, 4, 3, seconds)


def add_alone(record: PayRecord, seconds: float, num_sessions: int = NUM_SESSIONS, rounds: int = 8) -> None:
    for _ in range(rounds * num_sessions):
        record.begin_round(num_sessions, is_drafted=False)
        record.note(num_sessions, 0, 1, seconds)


def test_nothing_is_overruled_before_both_ways_were_seen() -> None:
    record = PayRecord()
    assert not record.is_overruled(NUM_SESSIONS)
    add_drafted(record, 9.9)
    assert not record.is_overruled(NUM_SESSIONS)


def test_drafts_that_bring_less_than_the_target_alone_are_overruled() -> None:
    assert record_of(alone_seconds=0.3, drafted_seconds=1.8).is_overruled(NUM_SESSIONS)


def test_drafts_that_bring_more_are_not() -> None:
    assert not record_of(alone_seconds=0.3, drafted_seconds=0.6).is_overruled(NUM_SESSIONS)


def test_a_small_loss_may_be_chance() -> None:
    assert not record_of(alone_seconds=0.3, drafted_seconds=0.92).is_overruled(NUM_SESSIONS)


def test_a_round_alone_beside_drafts_of_others_does_not_count_for_the_target_alone() -> None:
    record = PayRecord()
    add_drafted(record, 1.8)
    for _ in range(8 * NUM_SESSIONS):
        record.begin_round(NUM_SESSIONS, is_drafted=True)
        record.begin_round(NUM_SESSIONS, is_drafted=False)
        record.note(NUM_SESSIONS, 0, 1, 0.1)
    assert not record.is_overruled(NUM_SESSIONS)


def test_rounds_that_waited_for_their_drafts_in_vain_count_for_the_drafts() -> None:
    """Those that got some look well by themselves."""
    record = PayRecord()
    for _ in range(4 * NUM_SESSIONS):
        for num_drafted, num_tokens in ((4, 3), (0, 1), (0, 1)):
            record.begin_round(NUM_SESSIONS, is_drafted=True)
            record.note(NUM_SESSIONS, num_drafted, num_tokens, 0.8)
    add_alone(record, 0.3)
    assert record.is_overruled(NUM_SESSIONS)


def test_what_few_sessions_have_shown_counts_for_more_but_not_for_fewer() -> None:
    record = record_of(alone_seconds=0.3, drafted_seconds=1.8)
    assert record.is_overruled(4 * NUM_SESSIONS)
    assert record.is_overruled(NUM_SESSIONS - 1), "one has ended"
    assert not record.is_overruled(NUM_SESSIONS // 4)


def test_drafts_are_taken_up_again_when_they_bring_clearly_more() -> None:
    record = record_of(alone_seconds=0.3, drafted_seconds=1.8)
    add_drafted(record, 0.89)
    assert record.is_overruled(NUM_SESSIONS), "hardly more"
    for _ in range(4):
        add_drafted(record, 0.5)
    assert not record.is_overruled(NUM_SESSIONS)


def test_overruled_sessions_try_together_now_and_then() -> None:
    record = record_of(alone_seconds=0.3, drafted_seconds=1.8)
    tries = [record.trials.next_round(NUM_SESSIONS, 4) for _ in range(300 * NUM_SESSIONS)]
    assert 0 < sum(tries) < 0.05 * len(tries)


def test_one_interlude_of_the_length_it_asks_for_is_enough_to_judge() -> None:
    for num_sessions in (4, 8, 16, 32):
        record = PayRecord()
        add_drafted(record, 1.8, num_sessions)
        rounds = record.rounds_to_judge(num_sessions)
        add_alone(record, 0.3, num_sessions, rounds)
        assert record.is_overruled(num_sessions), num_sessions
        assert record.rounds_to_judge(num_sessions) == 0


def test_a_session_by_itself_is_not_kept_from_its_drafts_to_judge_them() -> None:
    assert PayRecord().rounds_to_judge(1) == 0


def test_new_sessions_leave_a_draft_out_that_nobody_uses() -> None:
    record = PayRecord()
    assert not record.begins_alone(NUM_SESSIONS), "nothing is known yet"
    add_alone(record, 0.3)
    began = [record.begins_alone(NUM_SESSIONS) for _ in range(160)]
    assert began.count(False) == 10, "one of sixteen finds out whether drafts would pay by now"
    assert not record.begins_alone(1)


def test_a_trial_of_one_session_does_not_bring_new_ones_to_the_draft_but_rounds_of_several_do() -> None:
    record = PayRecord()
    add_alone(record, 0.3)
    record.begin_round(NUM_SESSIONS, is_drafted=True)
    assert record.begins_alone(NUM_SESSIONS)
    for _ in range(4):
        record.begin_round(NUM_SESSIONS, is_drafted=True)
    assert not record.begins_alone(NUM_SESSIONS)
