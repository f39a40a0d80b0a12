"""Named budgets: never exceeded, whoever spends and whoever dies."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmx.budget_file import budget_file
from llmx.budgets import ALIVE, BudgetState, Daily, NamedBudget, Reservation, spent
from llmx.errors import OutputFailed

DAY = 24 * 3600.0
START = 1_000_000 * 60.0
"""A minute's first second."""


RESERVE = f"""
import os, sys
from decimal import Decimal
from pathlib import Path
from llmx.budgets import Daily, NamedBudget
NamedBudget(Path(sys.argv[1]), "dev", Daily(tokens=1000), now=lambda: {START}).reserve(Decimal(0), 900)
os.write(1, b"reserved")
os._exit(0)
"""


class Time:
    """Seconds since the epoch that pass when told to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return budget_file(tmp_path / "home")


@pytest.fixture
def budget(path: Path, clock: Time) -> Iterator[NamedBudget]:
    """A dollar and a thousand tokens a day."""
    opened = NamedBudget(path, "dev", Daily(Decimal(1), 1000), now=clock)
    yield opened
    opened.close()


def taken(budget: NamedBudget, cost: str = "0", tokens: int = 0) -> Reservation:
    """A reservation that must fit."""
    reservation = budget.reserve(Decimal(cost), tokens)
    assert reservation is not None
    return reservation


def counted(budget: NamedBudget) -> tuple[Decimal, int]:
    state = budget.state()
    return state.cost, state.tokens


# Who else spends


def test_what_others_have_in_flight_may_leave_room(budget: NamedBudget, path: Path, clock: Time):
    """A process that has reserved nearly all will settle for less: whoever comes may wait for it."""
    other = NamedBudget(path, "dev", Daily(Decimal(1), 1000), now=clock)
    large = taken(other, "0.9", 900)
    assert budget.reserve(Decimal(0), 200) is None
    assert budget.may_yet(Decimal("0.5"), 200)
    assert (budget.state().held_cost, budget.state().held_tokens) == (Decimal("0.9"), 900)
    other.settle(large, Decimal("0.9"), 850)
    assert not budget.may_yet(Decimal(0), 200)
    assert budget.state().held_tokens == 0
    other.close()


def test_what_is_spent_leaves_no_room(budget: NamedBudget, path: Path, clock: Time):
    """Nobody waits for calls whose settlement would not be enough, nor for their own."""
    other = NamedBudget(path, "dev", Daily(Decimal(1), 1000), now=clock)
    other.settle(taken(other, tokens=500), Decimal(0), 500)
    taken(other, tokens=400)
    assert budget.may_yet(Decimal(0), 500)
    assert not budget.may_yet(Decimal(0), 501)
    assert not other.may_yet(Decimal(0), 200)
    other.close()


def test_nobody_waits_for_the_dead(budget: NamedBudget, path: Path, clock: Time):
    """What a process had in flight that was killed stays counted and is not waited for; nor is one that hangs."""
    child = subprocess.run(
        [sys.executable, "-c", RESERVE, str(path)], check=True, capture_output=True, timeout=60
    )
    assert child.stdout == b"reserved"
    assert budget.state().tokens == 900
    assert not budget.may_yet(Decimal(0), 200)
    taken(budget, tokens=50)
    clock.now += ALIVE + 1
    assert budget.state().held_tokens == 0


def test_a_file_that_is_busy_at_the_end_is_let_go_of(
    path: Path, clock: Time, monkeypatch: pytest.MonkeyPatch
):
    """Who is not alive is not waited for, whether the file says so or not; the run's results stand."""
    monkeypatch.setattr("llmx.budget_file.LOCK_SECONDS", 0.1)
    budget = NamedBudget(path, "dev", Daily(tokens=1000), now=clock)
    taken(budget, tokens=1)
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        budget.close()
    with pytest.raises(OutputFailed):
        budget.state()


def test_what_is_left(budget: NamedBudget, path: Path, clock: Time):
    """As of the last look, this process's own calls in flight aside."""
    other = NamedBudget(path, "dev", Daily(Decimal(1), 1000), now=clock)
    other.settle(taken(other, "0.5", 100), Decimal("0.25"), 100)
    other.close()
    assert budget.left == (Decimal(1), 1000)
    mine = taken(budget, "0.5", 300)
    assert budget.left == (Decimal("0.75"), 900)
    budget.settle(mine, Decimal("0.5"), 200)
    assert budget.left == (Decimal("0.25"), 700)
    again = NamedBudget(path, "dev", Daily(None, 1000), now=clock)
    assert again.left == (None, 700)
    again.close()


# Limits


@pytest.mark.parametrize(
    "limits", [{}, {"cost": Decimal(-1)}, {"tokens": -1}, {"cost": Decimal("nan")}, {"cost": Decimal("inf")}]
)
def test_a_limit_is_a_number(limits: dict[str, Decimal | int]):
    """There must be one at least, and none may be negative."""
    with pytest.raises(ValueError, match=r"budget|0 or more"):
        Daily(**limits)  # type: ignore[arg-type]


def test_what_fits_is_reserved_to_the_last(budget: NamedBudget):
    """Exactly the limit may be spent, and not a billionth of a dollar or a token more."""
    taken(budget, "0.4", 400)
    taken(budget, "0.6", 600)
    assert budget.reserve(Decimal("0.000000001"), 0) is None
    assert budget.reserve(Decimal(0), 1) is None
    assert counted(budget) == (1, 1000)


@pytest.mark.parametrize(("cost", "tokens"), [("1.1", 1), ("0.1", 1001)])
def test_both_limits_hold(budget: NamedBudget, cost: str, tokens: int):
    """One that would be exceeded is enough, and then nothing is counted."""
    assert budget.reserve(Decimal(cost), tokens) is None
    assert counted(budget) == (0, 0)


def test_what_has_no_limit_is_only_counted(path: Path, clock: Time):
    """Dollars of a budget of tokens, and tokens of one of dollars."""
    with contextlib.closing(NamedBudget(path, "t", Daily(tokens=1), now=clock)) as budget:
        taken(budget, "1000", 1)
        assert counted(budget) == (1000, 1)
    with contextlib.closing(NamedBudget(path, "c", Daily(cost=Decimal(1)), now=clock)) as budget:
        taken(budget, "1", 10**9)
        assert counted(budget) == (1, 10**9)


def test_costs_are_rounded_up(budget: NamedBudget):
    """A call that costs less than a billionth of a dollar is not free, nor is the last of 30 digits."""
    taken(budget, "0.0000000001")
    assert counted(budget)[0] == Decimal("0.000000001")
    taken(budget, "0.000000001000000000000000000001")
    assert counted(budget)[0] == Decimal("0.000000003")


@pytest.mark.parametrize(("cost", "tokens"), [("-1", 0), ("0", -1), ("nan", 0), ("inf", 0)])
def test_an_amount_is_a_number_from_0(budget: NamedBudget, cost: str, tokens: int):
    """Else a call would give money back."""
    reservation = taken(budget, "0.5", 5)
    for attempt in (budget.reserve, lambda *amounts: budget.settle(reservation, *amounts)):
        with pytest.raises(ValueError, match="0 or more"):
            attempt(Decimal(cost), tokens)
    assert counted(budget) == (Decimal("0.5"), 5)


def test_an_amount_beyond_64_bits(path: Path):
    """It is an error, not a small number."""
    with contextlib.closing(NamedBudget(path, "dev", Daily(tokens=1))) as budget:
        with pytest.raises(OutputFailed):
            budget.reserve(Decimal(10) ** 12, 0)
        assert counted(budget) == (0, 0)


def test_names_are_apart(budget: NamedBudget, path: Path, clock: Time):
    """What one budget spends does not weigh on another in the same file."""
    taken(budget, "1", 1000)
    with contextlib.closing(NamedBudget(path, "other", Daily(Decimal(1)), now=clock)) as other:
        taken(other, "1")


def test_limits_are_those_of_who_asks(budget: NamedBudget, path: Path, clock: Time):
    """A config file that is changed changes the budget at once, spent as it is."""
    taken(budget, "0.5", 0)
    with contextlib.closing(NamedBudget(path, "dev", Daily(Decimal("0.4")), now=clock)) as lower:
        assert lower.reserve(Decimal(0), 0) is None


# Settling


def test_settling_frees_what_was_not_used(budget: NamedBudget):
    """The actual amounts replace the reserved ones."""
    budget.settle(taken(budget, "1", 1000), Decimal("0.25"), 250)
    assert counted(budget) == (Decimal("0.25"), 250)


def test_what_was_used_beyond_the_reservation_counts(budget: NamedBudget):
    """It is what was spent; nothing fits from then on."""
    budget.settle(taken(budget, "1", 1000), Decimal(2), 2000)
    assert counted(budget) == (2, 2000)
    assert budget.reserve(Decimal(0), 0) is None


def test_settling_twice(budget: NamedBudget):
    """The first stands: a second must not free the amounts of others."""
    taken(budget, "0.5", 500)
    reservation = taken(budget, "0.5", 500)
    budget.settle(reservation, Decimal("0.1"), 100)
    budget.settle(reservation, Decimal(0), 0)
    assert counted(budget) == (Decimal("0.6"), 600)


def test_it_is_settled_in_its_own_minute(budget: NamedBudget, clock: Time):
    """A long call does not weigh longer on the budget than from its start."""
    reservation = taken(budget, "1")
    clock.now += 3600
    budget.settle(reservation, Decimal("0.5"), 0)
    clock.now = START + DAY + 60
    assert counted(budget) == (0, 0)


def test_one_that_is_out_of_the_window_is_settled_in_vain(budget: NamedBudget, path: Path, clock: Time):
    """Even when its row is gone."""
    reservation = taken(budget, "1")
    clock.now += 30 * DAY
    NamedBudget(path, "dev", Daily(Decimal(1)), now=clock).close()
    budget.settle(reservation, Decimal("0.5"), 0)
    assert counted(budget) == (0, 0)


# Time


def test_spending_counts_for_24_hours_and_less_than_a_minute(budget: NamedBudget, clock: Time):
    """Its minute must have left the window as a whole."""
    clock.now += 59
    taken(budget, "1")
    clock.now = START + DAY + 59.9
    assert budget.reserve(Decimal("0.1"), 0) is None
    clock.now = START + DAY + 60
    taken(budget, "0.1")


def test_when_more_frees_up(budget: NamedBudget, clock: Time):
    """At the end of the oldest minute's window, and never when nothing is spent."""
    assert budget.state().frees_at is None
    taken(budget, "0.1")
    clock.now += 600
    taken(budget, "0.1")
    frees_at = budget.state().frees_at
    assert frees_at == START + DAY + 60
    clock.now = frees_at
    assert counted(budget)[0] == Decimal("0.1")
    assert budget.state().frees_at == frees_at + 600


def test_what_has_no_limit_frees_nothing(path: Path, clock: Time):
    """Nor does a call that turned out to be free."""
    with contextlib.closing(NamedBudget(path, "dev", Daily(Decimal(1)), now=clock)) as budget:
        budget.settle(taken(budget, "1", 9), Decimal(0), 9)
        assert budget.state().frees_at is None


def test_a_clock_that_is_put_back(budget: NamedBudget, clock: Time):
    """What was spent later than now counts."""
    taken(budget, "1")
    clock.now -= 400 * DAY
    assert budget.reserve(Decimal("0.1"), 0) is None


def test_old_rows_are_deleted_in_time(budget: NamedBudget, path: Path, clock: Time):
    """Not as soon as they no longer count: the clock may be wrong for a moment."""

    def rows_after(days: int) -> int:
        clock.now = START + days * DAY
        NamedBudget(path, "another", Daily(tokens=1), now=clock).close()
        with contextlib.closing(sqlite3.connect(path)) as db:
            return int(db.execute("SELECT count(*) FROM spent").fetchone()[0])

    taken(budget, "1")
    assert rows_after(3) == 1
    assert rows_after(8) == 0


# The law


AMOUNT = st.integers(0, 60)
STEP = st.one_of(
    st.tuples(st.just("reserve"), AMOUNT, AMOUNT),
    st.tuples(st.just("settle"), st.integers(0, 9), st.integers(0, 100)),
    st.tuples(st.just("pass"), st.integers(0, int(DAY) // 3), st.just(0)),
    st.tuples(st.just("reopen"), st.just(0), st.just(0)),
)
LIMIT = 100


@settings(max_examples=150, deadline=None)
@given(st.lists(STEP, max_size=40))
def test_no_24_hours_exceed_the_limits(steps: list[tuple[str, int, int]]):
    """Whatever is reserved, settled and reopened, as long as no call uses more than was reserved for it."""
    clock, limits = Time(), Daily(Decimal(LIMIT), LIMIT)
    really: dict[Reservation, tuple[float, int, int]] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        path = Path(folder) / "b.db"
        budget = stack.enter_context(contextlib.closing(NamedBudget(path, "b", limits, now=clock)))
        for step, first, second in steps:
            if step == "reserve":
                if (reservation := budget.reserve(Decimal(first), second)) is not None:
                    really[reservation] = clock.now, first, second
            elif step == "settle":
                waiting = [reservation for reservation in really if not reservation.settled]
                if first < len(waiting):
                    at, cost, tokens = really[waiting[first]]
                    used = cost * second // 100, tokens * second // 100
                    budget.settle(waiting[first], Decimal(used[0]), used[1])
                    really[waiting[first]] = at, *used
            elif step == "pass":
                clock.now += first
            else:
                budget.close()
                budget = stack.enter_context(contextlib.closing(NamedBudget(path, "b", limits, now=clock)))
            check(budget.state(), list(really.values()), clock.now)


def check(state: BudgetState, really: list[tuple[float, int, int]], now: float) -> None:
    """The count is within the limits, and no less than the last 24 hours' spending to the second."""
    recent = [(cost, tokens) for at, cost, tokens in really if at > now - DAY]
    assert sum(cost for cost, _ in recent) <= state.cost <= LIMIT
    assert sum(tokens for _, tokens in recent) <= state.tokens <= LIMIT


# Processes


SPENDER = """
import sys
from decimal import Decimal
from pathlib import Path
from llmx.budgets import Daily, NamedBudget

sys.stdin.readline()
budget = NamedBudget(Path(sys.argv[1]), "dev", Daily(Decimal(1), 10_000))
tokens = 0
while (reservation := budget.reserve(Decimal("0.000001"), 19)) is not None:
    budget.settle(reservation, Decimal("0.000001"), 7)
    tokens += 7
budget.close()
print(tokens)
"""

OPENING = """
import multiprocessing, sys
from decimal import Decimal
from pathlib import Path
from llmx.budgets import Daily, NamedBudget

def spend(path, together):
    together.wait()
    budget = NamedBudget(path, "dev", Daily(tokens=4))
    assert budget.reserve(Decimal(0), 1)
    budget.close()

fork = multiprocessing.get_context("fork")
for n in range(20):
    together = fork.Barrier(4)
    all_ = [fork.Process(target=spend, args=(Path(sys.argv[1]) / str(n), together)) for _ in range(4)]
    [process.start() for process in all_]
    [process.join() for process in all_]
    assert [process.exitcode for process in all_] == [0] * 4
"""

DYING = """
import os, signal, sys
from decimal import Decimal
from pathlib import Path
from llmx.budgets import Daily, NamedBudget

NamedBudget(Path(sys.argv[1]), "dev", Daily(Decimal(1), 1000)).reserve(Decimal("0.9"), 900)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_processes_share_a_budget(path: Path):
    """Two that open a new file at once and spend as fast as they can use it up and do not exceed it."""
    command = [sys.executable, "-c", SPENDER, str(path)]
    both = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    for process in both:  # they are there, and begin together
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    total = sum(int(process.communicate()[0]) for process in both)
    assert [process.returncode for process in both] == [0, 0]
    (state,) = spent(path, {"dev": Daily(tokens=10_000)}, 0)
    assert state.tokens == total
    # Each may have been refused what the other was about to free.
    assert 10_000 - 2 * 19 <= total <= 10_000


def test_processes_that_open_a_new_file_at_once(path: Path):
    """Each waits for the one that makes it ready: SQLite does not while its mode is changed."""
    done = subprocess.run([sys.executable, "-c", OPENING, str(path.parent)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    for n in range(20):
        assert spent(path.parent / str(n), {"dev": Daily(tokens=4)}, 0)[0].tokens == 4


def test_a_process_that_is_killed(path: Path):
    """What it had reserved stays counted: its call may have been billed."""
    killed = subprocess.run([sys.executable, "-c", DYING, str(path)])
    assert killed.returncode == -signal.SIGKILL
    with contextlib.closing(NamedBudget(path, "dev", Daily(Decimal(1), 1000))) as budget:
        assert counted(budget) == (Decimal("0.9"), 900)
        assert budget.reserve(Decimal("0.2"), 0) is None


def test_a_file_that_another_holds(path: Path, monkeypatch: pytest.MonkeyPatch):
    """It is an error, and not one that asks to remove the file; then all is as before."""
    monkeypatch.setattr("llmx.budget_file.LOCK_SECONDS", 0.001)
    with contextlib.closing(NamedBudget(path, "dev", Daily(tokens=1))) as budget:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(OutputFailed, match="locked") as caught:
                budget.reserve(Decimal(0), 1)
        assert "rm " not in caught.value.hint
        taken(budget, "0", 1)


# The file


def test_it_is_private(budget: NamedBudget, path: Path):
    """What SQLite puts beside the file, too, and the folders above."""
    taken(budget, "1")
    modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {0o600}
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (path.parent, path.parent.parent)] == [
        0o700
    ] * 2


def test_looking_makes_nothing(path: Path):
    """Neither the file nor its folder."""
    limits = Daily(tokens=1)
    assert spent(path, {"dev": limits}, START) == [BudgetState("dev", limits)]
    assert not path.parent.parent.exists()


def test_looking_at_what_is_in_use(budget: NamedBudget, path: Path):
    """It sees what the process that is at it sees, in the order that was asked for."""
    taken(budget, "0.5", 5)
    dev, other = Daily(Decimal(1), 1000), Daily(tokens=1)
    assert spent(path, {"other": other, "dev": dev}, START) == [BudgetState("other", other), budget.state()]


def test_looking_at_a_file_that_is_being_made(path: Path):
    """It is empty yet."""
    path.parent.mkdir(parents=True)
    path.touch()
    assert spent(path, {"dev": Daily(tokens=1)}, START)[0].tokens == 0
    assert path.read_bytes() == b""


def noise(path: Path) -> None:
    path.write_bytes(b"not a database, by far" * 100)


def anothers(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE mine (x)")


def trap(path: Path) -> None:
    """A trigger that would give back what is spent."""
    NamedBudget(path, "dev", Daily(tokens=1)).close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TRIGGER t AFTER INSERT ON spent BEGIN UPDATE spent SET tokens = 0; END")


def damaged(path: Path) -> None:
    """A page of rows that is overwritten, the first page being as it was."""
    NamedBudget(path, "dev", Daily(tokens=1)).close()
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))


@pytest.mark.parametrize("harm", [noise, anothers, trap, damaged])
def test_a_file_that_is_not_as_we_make_it(path: Path, harm):
    """It is refused with the command that removes it, and left as it is."""
    path.parent.mkdir(parents=True)
    harm(path)
    before = path.read_bytes()
    for use in (NamedBudget, lambda path, name, limits: spent(path, {name: limits}, START)):
        with pytest.raises(OutputFailed, match=str(path)) as caught:
            use(path, "dev", Daily(tokens=1))
        assert caught.value.hint.startswith(f"rm {path}*")
    assert path.read_bytes() == before


def test_a_row_that_contradicts_a_reservation(budget: NamedBudget, path: Path):
    """Somebody has changed the file: it never counts less than nothing."""
    reservation = taken(budget, "1", 1000)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE spent SET tokens = 1")
    with pytest.raises(OutputFailed) as caught:
        budget.settle(reservation, Decimal(0), 0)
    assert caught.value.hint.startswith("rm ")
    assert counted(budget) == (1, 1)


@pytest.mark.parametrize("there", [True, False])
def test_a_link_in_its_place(path: Path, tmp_path: Path, there: bool):
    """It is not followed, whether it leads anywhere or not."""
    target = tmp_path / "target"
    if there:
        target.touch()
    path.parent.mkdir(parents=True)
    path.symlink_to(target)
    for use in (NamedBudget, lambda path, name, limits: spent(path, {name: limits}, START)):
        with pytest.raises(OutputFailed, match="link"):
            use(path, "dev", Daily(tokens=1))
    assert target.exists() == there
    assert not there or target.read_bytes() == b""


def test_a_link_in_place_of_what_sqlite_makes(path: Path, tmp_path: Path):
    """SQLite does not follow it, either."""
    target = tmp_path / "target"
    path.parent.mkdir(parents=True)
    path.with_name(f"{path.name}-wal").symlink_to(target)
    with pytest.raises(OutputFailed):
        NamedBudget(path, "dev", Daily(tokens=1))
    assert not target.exists()


def test_a_pipe_in_its_place(path: Path):
    """Nobody waits for its other end."""
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    with pytest.raises(OutputFailed, match="no file"):
        NamedBudget(path, "dev", Daily(tokens=1))


def test_a_folder_that_cannot_be_made(tmp_path: Path):
    """The system's reason is told, and what else there is."""
    (tmp_path / "home").touch()
    with pytest.raises(OutputFailed, match=r"ot a directory|exists") as caught:
        NamedBudget(budget_file(tmp_path / "home"), "dev", Daily(tokens=1))
    assert "LLMX_HOME" in caught.value.hint


def test_a_name_with_special_characters(tmp_path: Path):
    """A path is a path, not a part of a URI."""
    path = budget_file(tmp_path / "a?mode=ro#%41 b")
    with contextlib.closing(NamedBudget(path, "dev", Daily(tokens=1))) as budget:
        taken(budget, "0", 1)
    assert path.exists()
