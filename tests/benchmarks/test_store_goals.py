from __future__ import annotations

import time

from benchmarks import store_goals
from benchmarks.store_goals import Goal
from benchmarks.store_load import Times
from dgm_tb.store import reading

NEVER = {"one unit": lambda: None}


def test_each_goal_is_met_or_missed_and_what_was_missed_is_explained() -> None:
    said = store_goals.verdict(
        [Goal("append", 2.0, 2.5, "ms", "slow disk"), Goal("listed", 1.5, 1.0, "s", "many names")]
    )
    assert "| append | ≤ 2.5 ms | 2 | met |" in said
    assert "| listed | ≤ 1 s | 1.5 | **missed** |" in said
    assert "- listed: many names" in said
    assert "slow disk" not in said
    assert "Where" not in store_goals.verdict([Goal("append", 2.0, 2.5, "ms")])


def test_readings_are_compared_warm_with_raw_files_and_cold_with_bare_reads() -> None:
    ours, raw, bare = ({"one unit": times} for times in (Times(3, 40), Times(2, 9), Times(1, 20)))
    warm, cold = store_goals.of_readings(ours, raw, bare, NEVER)
    assert (warm.found, cold.found) == (1.5, 2.0)
    assert warm.met
    assert not cold.met
    assert "40.0 ms, bare reads 20.0" in cold.why


def test_a_view_is_compared_with_that_of_a_tenth_of_the_snapshots() -> None:
    grown = {200: {"layer": Times(2, 0)}, 2000: {"layer": Times(8, 0)}, 20_000: {"layer": Times(4, 0)}}
    profiles = {size: {"layer": f"profile of {size}"} for size in grown}
    first, second = store_goals.of_growth(grown, profiles)
    assert (first.found, second.found) == (4.0, 0.5)
    assert "every snapshot is drawn" in first.why
    assert "profile of 200; then profile of 2000" in first.why
    assert "every snapshot is drawn" not in second.why


def test_a_profile_says_what_functions_do() -> None:
    kept = vars(reading)["pool"]
    data = b"x" * (1 << 20)

    def work() -> None:
        import google_crc32c

        for _ in range(200):
            google_crc32c.extend(0, data)
        assert [*vars(reading)["pool"]().map(len, ["abc"])] == [3]  # here too: no other thread

    said = store_goals.where(work)
    assert said.startswith("checksums "), said
    assert vars(reading)["pool"] is kept
    assert store_goals.where(lambda: time.sleep(0.05)) == "Python and NumPy 100 %"
