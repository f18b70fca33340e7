from datetime import UTC, datetime, timedelta, timezone

from pipelines.timestamps import timestamp

MOMENT = datetime(2026, 11, 29, 4, 25, 0, 999_999, UTC)


def test_moments_are_told_in_utc_and_whole_seconds() -> None:
    east = MOMENT.astimezone(timezone(timedelta(hours=2)))
    assert timestamp(MOMENT) == timestamp(east) == timestamp(MOMENT.replace(tzinfo=None)) == "2026-11-29T04:25:00Z"


def test_now_is_told_without_a_moment() -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    assert before <= datetime.fromisoformat(timestamp()) <= datetime.now(UTC)
