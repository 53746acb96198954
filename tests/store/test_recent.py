from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from dgm_tb.store.recent import Recent

commands = st.lists(
    st.one_of(
        st.tuples(st.just("get"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("put"), st.integers(0, 5), st.integers(0, 7)),
        st.tuples(st.just("spare"), st.just(-1), st.integers(0, 12)),
    ),
    max_size=40,
)


@given(commands)
def test_it_keeps_the_last_used_that_fit_as_a_plain_list_does(script: list[tuple[str, int, int]]) -> None:
    recent: Recent[int, int] = Recent(10)
    twin: list[tuple[int, int, int]] = []  # key, value, weight; the last used last
    for turn, (command, key, weight) in enumerate(script):
        held = [entry for entry in twin if entry[0] == key]
        if command == "get":
            assert recent.get(key) == (held[0][1] if held else None)
            entries = held
        elif command == "spare":
            recent.spare(weight)
            entries = []
        else:
            recent.put(key, turn, weight)
            entries = [(key, turn, weight)]
        twin = [entry for entry in twin if entry[0] != key] + entries
        room = max(0, 10 - weight) if command == "spare" else 10
        while sum(entry[2] for entry in twin) > room:
            twin.pop(0)


def test_threads_leave_it_whole() -> None:
    recent: Recent[int, int] = Recent(8)

    def work(seed: int) -> None:
        for turn in range(2000):
            recent.put((seed * turn) % 13, turn, 1 + turn % 3)
            recent.get(turn % 13)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = [key for key in range(13) if recent.get(key) is not None]
    assert 2 <= len(kept) <= 8
