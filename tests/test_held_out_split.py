"""What is held out follows from the path of the medium alone."""

from __future__ import annotations

import hashlib
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from training.held_out_split import is_held_out

PATHS = [f"./media/clips/{number:06d}.mp4" for number in range(4000)]


@given(st.text(), st.floats(0, 1))
def test_rule_is_the_first_eight_hex_digits_of_the_hash(path: str, share: float) -> None:
    assert is_held_out(path, share) == (int(hashlib.sha256(path.encode()).hexdigest()[:8], 16) / 2**32 < share)


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_smaller_share_is_part_of_a_larger_one(path: str, share: float, other: float) -> None:
    assert is_held_out(path, min(share, other)) <= is_held_out(path, max(share, other))


@given(st.text())
def test_nothing_and_everything_can_be_held_out(path: str) -> None:
    assert not is_held_out(path, 0.0)
    assert is_held_out(path, 1.0)


def test_share_is_about_what_was_asked_for() -> None:
    for share in (0.05, 0.2, 0.5):
        assert abs(sum(is_held_out(path, share) for path in PATHS) / len(PATHS) - share) < 0.03


def test_another_process_holds_out_the_same() -> None:
    program = "from training.held_out_split import is_held_out; import sys; "
    program += "print([is_held_out(path, 0.3) for path in sys.argv[1:]])"
    paths = PATHS[:50]
    printed = subprocess.run([sys.executable, "-c", program, *paths], check=True, capture_output=True, text=True).stdout
    assert printed.strip() == str([is_held_out(path, 0.3) for path in paths])
