"""The pool of workers without Ray: who gets which call, and what happens when a worker ends."""

import asyncio
import dataclasses

import pytest

from homescribe.backends.ray import worker_pool
from homescribe.backends.ray.worker_pool import Answer, PoolCall, WorkerLost, WorkerPool
from homescribe.backends.ray.worker_spec import Node, share_of_workers
from homescribe.core import EngineRequirements
from homescribe.errors import PermanentError, RetryableError, SetupError, UserError


class FakeWorker:
    """Ends with a call whose id starts with "poison", or when it is told to."""

    def __init__(self, team):
        self.team = team
        self.ended = asyncio.Event()
        self.running = set()
        team.append(self)

    async def load(self):
        error = self.team.load_errors.pop(0) if self.team.load_errors else None
        if isinstance(error, WorkerLost):
            raise error
        return error

    async def transcribe(self, call):
        self.team.log.append((self.team.index(self), call.id, sorted(c.id for c in self.running)))
        self.running.add(call)
        try:
            if call.id.startswith("poison"):
                self.end()
            if call.id.startswith("odd"):
                raise KeyError(call.id)
            release = asyncio.ensure_future(self.team.release.wait())
            ended = asyncio.ensure_future(self.ended.wait())
            await asyncio.wait([release, ended], return_when=asyncio.FIRST_COMPLETED)
            if self.ended.is_set():
                raise WorkerLost("it was killed")
            return Answer(call.id.encode(), worn_out=call.id.startswith("worn"))
        finally:
            self.running.discard(call)

    def end(self):
        self.ended.set()


class Team(list):
    """The workers that were started, and what they did."""

    def __init__(self):
        super().__init__()
        self.log = []  # (worker, call, calls that it worked on already)
        self.load_errors = []
        self.release = asyncio.Event()


def pooled(scenario, *, size=2, slots=2):
    """Run `scenario(pool, team, add)`; return the replies by call id, and the team."""
    replies, team = {}, None

    async def main():
        nonlocal team
        team = Team()

        def finished(call):
            replies[call.id] = call.reply

        pool = WorkerPool(
            size, slots, lambda: FakeWorker(team), lambda reply: reply.error, finished
        )

        def add(*ids):
            for call_id in ids:
                pool.add(PoolCall(call_id, {}, "audio", 5))

        await asyncio.wait_for(scenario(pool, team, add), 10)

    asyncio.run(main())
    return replies, team


async def until(condition):
    while not condition():
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(worker_pool, "PAUSE", 0.0)


def test_calls_are_shared_evenly_and_a_worker_gets_as_many_as_it_has_slots():
    async def scenario(pool, team, add):
        pool.ensure(2)
        await until(lambda: pool.ready == 2)
        add("1", "2", "3", "4", "5")
        await until(lambda: len(team.log) == 4)
        assert [(worker, beside) for worker, _, beside in team.log] == [
            (0, []),
            (1, []),
            (0, ["1"]),
            (1, ["2"]),
        ]
        assert pool.unfinished == 5
        team.release.set()
        await until(lambda: not pool.unfinished)
        assert pool.counts.done == 5

    replies, _ = pooled(scenario)
    assert replies == {str(n): str(n).encode() for n in range(1, 6)}


def test_a_worker_that_ends_is_replaced_and_its_calls_are_tried_again_each_alone():
    async def scenario(pool, team, add):
        pool.ensure(1)
        add("1", "2", "3", "4")
        await until(lambda: len(team.log) == 2)
        team[0].end()
        team.release.set()
        await until(lambda: not pool.unfinished)
        assert pool.counts == worker_pool.Counts(done=4, retried=2, deaths=1, starts=2)
        again = [entry for entry in team.log if entry[0] == 1 and entry[1] in "12"]
        assert sorted(again) == [(1, "1", []), (1, "2", [])]

    replies, team = pooled(scenario, size=1)
    assert sorted(replies) == ["1", "2", "3", "4"]
    assert len(team) == 2


def test_a_call_that_ends_its_workers_fails_and_nothing_else_does():
    async def scenario(pool, team, add):
        team.release.set()
        pool.ensure(2)
        add("1", "poison", "2", "3", "4", "5")
        await until(lambda: not pool.unfinished)
        assert pool.counts.deaths == 3
        assert [beside for _, call, beside in team.log if call == "poison"][1:] == [[], []]

    replies, _ = pooled(scenario)
    error = replies.pop("poison")
    assert isinstance(error, PermanentError)
    assert "3 workers ended" in error.message
    assert "retry KEY" in error.hint
    assert replies == {n: n.encode() for n in "12345"}


def test_an_exception_that_says_nothing_about_the_worker_fails_one_call():
    async def scenario(pool, team, add):
        team.release.set()
        pool.ensure(1)
        add("1", "odd", "2")
        await until(lambda: not pool.unfinished)
        assert pool.counts.starts == 1

    replies, _ = pooled(scenario, size=1)
    error = replies.pop("odd")
    assert (type(error), error.message) == (RetryableError, "The call failed: KeyError: 'odd'")
    assert replies == {"1": b"1", "2": b"2"}


def test_a_worker_that_is_worn_out_finishes_its_calls_and_is_replaced():
    async def scenario(pool, team, add):
        pool.ensure(1)
        add("worn", "1")
        await until(lambda: len(team.log) == 2)
        team.release.set()
        add("2")
        await until(lambda: not pool.unfinished)
        assert pool.counts == worker_pool.Counts(done=3, retried=0, deaths=0, starts=2)

    replies, team = pooled(scenario, size=1)
    assert replies == {"worn": b"worn", "1": b"1", "2": b"2"}
    assert team[0].ended.is_set()


def test_workers_that_cannot_load_leave_the_calls_waiting_for_the_next_attempt():
    async def scenario(pool, team, add):
        team.release.set()
        team.load_errors = [SetupError("no such model"), SetupError("no such model")]
        pool.ensure(2)
        add("1")
        await until(lambda: pool.error is not None and not pool.workers)
        assert (pool.error.message, pool.unfinished) == ("no such model", 1)
        pool.ensure(2)
        assert pool.error is None
        await until(lambda: not pool.unfinished)

    assert pooled(scenario)[0] == {"1": b"1"}


def test_a_worker_that_ends_while_it_loads_is_tried_three_times():
    async def scenario(pool, team, add):
        team.load_errors = [WorkerLost("out of memory")] * 3
        pool.ensure(1)
        await until(lambda: pool.error is not None)
        assert (len(team), pool.workers) == (3, 0)
        assert "ended 3 times while it loaded the model: out of memory" in pool.error.message
        team.load_errors = [WorkerLost("once")]
        pool.ensure(1)
        await until(lambda: pool.ready)

    pooled(scenario, size=1)


def test_a_closed_pool_has_no_workers_and_starts_them_again_when_it_is_wanted():
    async def scenario(pool, team, add):
        team.release.set()
        pool.ensure(2)
        await until(lambda: pool.ready == 2)
        pool.close()
        assert (pool.workers, [worker.ended.is_set() for worker in team]) == (0, [True, True])
        add("1")
        pool.ensure(2)
        await until(lambda: not pool.unfinished)

    assert pooled(scenario)[0] == {"1": b"1"}


# --- How many workers, and how large -----------------------------------------------------------------

CPU_ONLY = EngineRequirements((), ("en",), lambda model, folder: None)
ON_GPUS = dataclasses.replace(CPU_ONLY, gpu_available=lambda: True)


@pytest.mark.parametrize(
    ("machines", "needs", "settings", "expected"),
    [
        ([(8, 0)], CPU_ONLY, {}, (1, 8, 0)),
        ([(8, 0), (4, 0)], CPU_ONLY, {}, (2, 4, 0)),
        ([(8, 0)], CPU_ONLY, {"workers": 2}, (2, 4, 0)),
        ([(2, 0)], CPU_ONLY, {"workers": 4}, (4, 1, 0)),
        ([(8, 0), (0, 0)], CPU_ONLY, {}, (1, 8, 0)),  # a head that gives nothing away
        ([(8, 1)], CPU_ONLY, {}, (1, 8, 0)),  # the engine has no use for it
        ([(16, 2), (8, 0)], ON_GPUS, {}, (2, 4, 1)),
        ([(2, 1)], ON_GPUS, {}, (1, 2, 1)),
        ([(16, 1)], ON_GPUS, {"gpu_per_worker": 0.5}, (2, 4, 0.5)),
        ([(16, 1)], ON_GPUS, {"gpu_per_worker": 0}, (1, 16, 0)),
        ([(16, 0)], ON_GPUS, {}, (1, 16, 0)),
    ],
)
def test_workers_are_sized_to_the_machines(machines, needs, settings, expected):
    nodes = [Node(str(n), *machine) for n, machine in enumerate(machines)]
    share = share_of_workers(nodes, needs, **settings)
    assert (share.workers, share.cpus, share.gpus) == expected


@pytest.mark.parametrize(
    ("machines", "needs", "settings", "kind", "words"),
    [
        (
            [(8, 0)],
            ON_GPUS,
            {"gpu_per_worker": 1},
            SetupError,
            "No machine of the cluster has 1 GPU",
        ),
        ([(8, 1)], CPU_ONLY, {"gpu_per_worker": 1}, UserError, "does not use a GPU"),
        ([(8, 4)], ON_GPUS, {"gpu_per_worker": 1.5}, UserError, "cannot have 1.5 GPUs"),
        ([(0, 0)], CPU_ONLY, {}, SetupError, "no machine with a free core"),
        (
            [(8, 0)],
            dataclasses.replace(ON_GPUS, gpu_required=True),
            {},
            SetupError,
            "needs a GPU, and the cluster has none",
        ),
    ],
)
def test_workers_that_fit_no_machine_are_refused(machines, needs, settings, kind, words):
    nodes = [Node(str(n), *machine) for n, machine in enumerate(machines)]
    with pytest.raises(kind, match=words):
        share_of_workers(nodes, needs, **settings)
