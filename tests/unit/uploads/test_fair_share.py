from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from hashwacht.uploads.fair_share import FairShare


@given(st.integers(1, 64), st.lists(st.sampled_from("aaaabbc-"), max_size=200))
def test_no_client_has_more_than_what_is_left(total: int, steps: list[str]) -> None:
    share, held = FairShare(total), Counter[str]()
    for step in steps:
        if step == "-" and held:
            client = next(iter(held))
            share.release(client)
            held = held - Counter((client,))
        elif step != "-":
            free = total - held.total()
            assert share.acquire(step) is (held[step] < free)
            held[step] += held[step] < free
        assert share.used == held.total() <= total


def test_a_client_without_any_gets_one_beside_greedy_ones() -> None:
    share = FairShare(64)
    for client in ("first", "second", "third"):
        while share.acquire(client):
            pass
    assert share.acquire("fourth")
