"""`homescribe ray stop` asks before it ends what others may wait for."""

import pytest

pytest.importorskip("ray", reason="needs the extra ray")

from click.testing import CliRunner

from homescribe.backends.ray.ray_backend import ClusterStatus
from homescribe.cli.commands import ray_cluster
from homescribe.cli.main import homescribe
from homescribe.errors import SetupError, UserError


class FakeBackend:
    """A backend whose cluster has calls that are not finished and results that are not collected."""

    def __init__(self, unfinished=(), kept=0, failure=None):
        self.pools = tuple({"unfinished": number} for number in unfinished)
        self.kept, self.failure, self.stopped = kept, failure, False

    def status(self):
        if self.failure:
            raise self.failure
        return ClusterStatus("ray://head:10001", (), self.pools, self.kept)

    def stop(self):
        self.stopped = True
        return True


@pytest.fixture
def stop(monkeypatch, tmp_path):
    """Run the command on a fake backend; `answer` is typed at a terminal, None for no terminal."""

    def run(backend, *arguments, answer=None):
        monkeypatch.setattr(ray_cluster, "build_ray_backend", lambda config: backend)
        monkeypatch.setattr(ray_cluster, "_at_a_terminal", lambda: answer is not None)
        command = ["ray", "stop", *arguments, "--library", str(tmp_path)]
        # Through the program: click keeps the help option that a command has when it is first called.
        return CliRunner().invoke(homescribe, command, input=answer or "")

    return run


def test_nothing_is_asked_where_nothing_is_lost(stop):
    backend = FakeBackend(unfinished=(0, 0))
    assert stop(backend).output == "Stopped.\n"
    assert backend.stopped


@pytest.mark.parametrize(("unfinished", "kept"), [((2, 1), 4), ((3,), 0), ((), 4)])
@pytest.mark.parametrize("answer", ["y\n", "n\n", "\n"])
def test_what_would_be_lost_is_counted_and_the_user_decides(stop, unfinished, kept, answer):
    backend = FakeBackend(unfinished, kept)
    result = stop(backend, answer=answer)
    calls = "3 calls" if unfinished else "0 calls"
    results = f"{kept} results"
    question = f"{calls} not finished and {results} not collected, of all libraries and users?"
    assert question in result.output
    assert backend.stopped == (answer == "y\n")
    assert ("Nothing was stopped." in result.output) == (answer != "y\n")


def test_without_a_terminal_it_needs_an_option(stop):
    backend = FakeBackend((1,), 0)
    error = stop(backend).exception
    assert type(error) is UserError
    assert "would lose 1 call not finished and 0 results not collected" in error.message
    assert "--yes" in error.hint
    assert not backend.stopped
    assert stop(backend, "--yes").output == "Stopped.\n"
    assert backend.stopped


def test_a_cluster_of_this_machine_that_does_not_answer_can_be_stopped(stop):
    here = FakeBackend(failure=SetupError("no route", ""))
    assert type(stop(here).exception) is UserError
    assert not here.stopped
    assert "it does not say: no route" in stop(here, answer="y\n").output
    assert here.stopped
    elsewhere = FakeBackend(failure=SetupError("no route", ""))
    assert (
        type(stop(elsewhere, "--address", "ray://head:10001", answer="y\n").exception) is SetupError
    )
