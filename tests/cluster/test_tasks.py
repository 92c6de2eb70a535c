"""Many tasks: one result that does not come holds up no other, and the scheduler is left alone."""

from concurrent.futures import Future

from backlit.cluster import tasks


def test_a_result_that_does_not_come_is_asked_for_again(client, monkeypatch):
    fetch, stuck, given = tasks._fetch, Future(), []
    monkeypatch.setattr(
        tasks, "_fetch", lambda c, future: stuck if not given.append(1) and len(given) == 1
        else fetch(c, future),
    )  # fmt: skip
    taken = []

    def take(item, result):
        assert result == -item
        taken.append(item)
        if len(taken) == 59:  # all the others have come before it
            stuck.set_exception(TimeoutError())

    asked = []
    info = client.scheduler_info
    monkeypatch.setattr(client, "scheduler_info", lambda **k: asked.append(1) or info(**k))
    tasks.run_tasks(
        client, range(60), lambda item: client.submit(int.__neg__, item, pure=False), take, 60.0
    )
    assert sorted(taken) == list(range(60))
    assert len(given) == 61
    assert len(asked) <= 10
