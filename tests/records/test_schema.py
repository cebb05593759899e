import json
import re
from datetime import datetime, timedelta, timezone

import pytest
from records.samples import START, curve, fields, record

from gc2l.cells import Cell, TrainingConfig
from gc2l.records import Assignment, Epoch, Record, Score
from gc2l.records.schema import from_json, to_json

CELL = Cell(preset="tiny", training=TrainingConfig(epochs=3))


def changed(**changes: object) -> Record:
    return Record(**fields(CELL) | changes)


@pytest.mark.parametrize("errors", [417, 0, 10_000, None])
def test_json_round_trip_keeps_every_value(errors):
    original = record(CELL, errors=errors)
    assert from_json(to_json(original)) == original


def test_json_has_the_layout_of_version_1():
    content = json.loads(to_json(record(CELL)))
    assert content["schema_version"] == 1
    assert content["configuration"] == CELL.configuration()
    assert content["started"] == "2026-01-02T03:04:05Z"
    assert len(content["curve"]) == 3
    assert set(content["test"]) == {"errors", "rows", "error_percent", "interval"}


def test_another_schema_version_is_refused():
    content = json.loads(to_json(record(CELL)))
    with pytest.raises(ValueError, match="schema_version"):
        from_json(json.dumps(content | {"schema_version": 2}))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_and_infinity_are_refused_everywhere(value):
    for name in ("wall_seconds", "images_per_second"):
        with pytest.raises(ValueError, match=name):
            changed(**{name: value})
    with pytest.raises(ValueError, match="train_loss"):
        Epoch.model_validate(curve(1)[0].model_dump() | {"train_loss": value})
    text = to_json(record(CELL)).replace('"wall_seconds": 12.5', f'"wall_seconds": {json.dumps(value)}')
    with pytest.raises(ValueError, match="wall_seconds"):
        from_json(text)


def test_nan_in_the_configuration_is_refused():
    configuration = CELL.configuration()
    configuration["training"]["learning_rate"] = float("nan")
    with pytest.raises(ValueError, match="not JSON compliant"):
        changed(configuration=configuration)


def test_unknown_fields_and_silent_conversions_are_refused():
    with pytest.raises(ValueError, match="Extra inputs"):
        changed(notes="")
    with pytest.raises(ValueError, match="seed"):
        changed(seed="1")
    with pytest.raises(ValueError, match="dirty"):
        changed(dirty=0)


def test_a_record_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        record(CELL).seed = 2


def test_the_identity_must_be_the_configurations_hash():
    with pytest.raises(ValueError, match="identity='0123456789ab' does not belong"):
        changed(identity="0123456789ab")
    with pytest.raises(ValueError, match=f"whose hash is '{CELL.identity}'"):
        changed(identity="0123456789ab")


def test_the_seed_must_be_the_configurations():
    with pytest.raises(ValueError, match="seed=2 is not the configuration's seed=1"):
        changed(seed=2)


def test_the_curve_must_be_whole_and_in_order():
    with pytest.raises(ValueError, match=r"curve of a finished run has 2 epochs, training\.epochs=3"):
        changed(curve=curve(2))
    with pytest.raises(ValueError, match=r"has 4 epochs"):
        changed(curve=curve(4))
    with pytest.raises(ValueError, match=r"\[2, 1, 3\]"):
        changed(curve=tuple(curve(3)[index] for index in (1, 0, 2)))


def test_the_assignment_has_the_epochs_of_the_curve_or_none():
    def counts(*epochs: int) -> dict[str, tuple[Assignment, ...]]:
        values = {"channels": 8, "moved": 1, "logits_gradient": 0.5, "weights_gradient": 2.0}
        return {"assignment": tuple(Assignment(epoch=epoch, **values) for epoch in epochs)}

    for right in ((), (1, 2, 3)):
        assert len(changed(**counts(*right)).assignment) == len(right)
    for wrong in ((1, 2), (1, 2, 3, 4), (2, 1, 3)):
        with pytest.raises(ValueError, match=re.escape(f"has the epochs {list(wrong)}, the curve [1, 2, 3]")):
            changed(**counts(*wrong))


def test_a_diverged_run_has_a_message_and_no_test_and_may_stop_early():
    fine = Record(**fields(CELL, errors=None) | {"curve": curve(2)})
    assert (fine.test, len(fine.curve)) == (None, 2)
    outcome = {"test": Score.from_counts(1, 10)}, {"weights_sha256": "0" * 64}
    for changes in ({"message": None}, {"message": ""}, *outcome):
        with pytest.raises(ValueError, match="a diverged run has"):
            Record(**fields(CELL, errors=None) | changes)


@pytest.mark.parametrize("changes", [{"test": None}, {"message": "all well"}])
def test_a_finished_run_has_a_test_and_no_message(changes):
    with pytest.raises(ValueError, match="a finished run has a test result and no message"):
        changed(**changes)


def test_times_are_utc_and_in_order():
    with pytest.raises(ValueError, match="timezone"):
        changed(started=datetime(2026, 1, 2))
    with pytest.raises(ValueError, match="must be in UTC"):
        changed(finished=(START + timedelta(hours=1)).astimezone(timezone(timedelta(hours=1))))
    with pytest.raises(ValueError, match="lies before"):
        changed(finished=START - timedelta(seconds=1))


def test_one_processor_cannot_hold_more_than_all():
    with pytest.raises(ValueError, match="parameters_per_processor=1001"):
        changed(parameters_per_processor=1001)


def test_a_score_must_follow_from_its_counts():
    score = Score.from_counts(417, 10_000)
    assert score.error_percent == pytest.approx(4.17)
    for changes in ({"error_percent": 4.18}, {"errors": 418}, {"rows": 9_999}):
        with pytest.raises(ValueError, match="does not follow"):
            Score.model_validate(score.model_dump() | changes)
    interval = {"low": score.interval.low, "high": score.interval.high + 0.01}
    with pytest.raises(ValueError, match=r"interval\.high"):
        Score.model_validate(score.model_dump() | {"interval": interval})


def test_problems_are_listed_one_a_line():
    with pytest.raises(ValueError, match=r"identity: Field required\nseed: Field required"):
        from_json('{"preset": "tiny", "configuration": {}}')
    with pytest.raises(ValueError, match="Invalid JSON"):
        from_json('{"preset": ')
