from pipelines.bulk.console import result_text
from tests.pipelines.bulk.made_runs import good_run, make, mixed_run, record, scene


def test_a_good_run_is_told_in_three_lines() -> None:
    assert result_text(good_run(3)).splitlines() == [
        "3 scenes: 3 done",
        "57.9 Mpx of 360.6 km2 of ground in 3 products; all of them now, in 21 min: 0.0459 Mpx/s, 8.57 scenes an hour",
        "Verified: every scene has its product or a named reason, and all checksums match.",
    ]


def test_what_is_not_as_it_should_be_is_named_with_its_reason() -> None:
    text = result_text(mixed_run(verification=None))
    assert "13 scenes: 8 done, 1 marked, 1 partial, 1 failed, 1 refused, 1 waiting" in text
    assert "\nNot verified.\n" in text
    lines = text.split("Not as they should be:\n")[1].splitlines()
    assert [line.split()[0] for line in lines] == ["failed", "refused", "partial", "marked"]
    assert "2026/T32TT03: The pixels of the scene cannot be read" in lines[0]


def test_it_stays_short_whatever_happens() -> None:
    planned = [scene(f"s{number:03d}") for number in range(300)]
    text = result_text(make(planned, [record(own, "failed") for own in planned], verification=["wrong"] * 50))
    assert len(text.splitlines()) < 25
    assert "and 290 more, see the report" in text and "Verification found 50 problems:" in text


def test_a_resumed_run_tells_what_is_new() -> None:
    text = result_text(good_run(4, started_at="2026-11-29T04:29:00Z", ended_at="2026-11-29T04:31:00Z"))
    assert "in 4 products; 2 of them now, in 120 s" in text


def test_names_of_any_bytes_can_be_printed() -> None:
    odd = scene("a\udcff\n\x1b[31m")
    result_text(make([odd], [record(odd, "failed")])).encode()


def test_an_empty_run_says_so() -> None:
    assert result_text(make([], [])).splitlines()[0] == "0 scenes: none"
