import json
import sys

import numpy as np
import pytest
import scipy.sparse

from backlit import TraceRecorder, trace
from backlit.errors import SettingError
from backlit.tracing import TraceHistory, write_tensorboard
from backlit.training import SGD, fit


@pytest.fixture(scope="module")
def data():
    X = np.random.default_rng(0).standard_normal((600, 5))
    return X, (X[:, 0] * X[:, 1] > 0).astype(int)


def _fit(data, callback, **more):
    settings = {"hidden": (12, 6), "batch_size": 50, "epochs": 5, "threads": 1} | more
    return fit(*data, callback=callback, **settings)


def test_it_records_after_exactly_so_many_steps_and_changes_no_bit(data):
    recorder = TraceRecorder(every=7)
    found = _fit(data, recorder)
    assert recorder.history.column("step") == list(range(7, 61, 7))
    np.testing.assert_array_equal(found.vector, _fit(data, None).vector)
    again = TraceRecorder(every=7)
    _fit(data, again)
    for a, b in zip(recorder.history, again.history, strict=True):
        assert (a.cost, a.layers, a.alarms) == (b.cost, b.layers, b.alarms)


def test_a_record_is_a_trace_of_the_network_at_that_step(data):
    recorder = TraceRecorder(every=60, rows=10_000)
    found = _fit(data, recorder, l2=0.3)
    X, y = data
    t = trace(X.T, y, found.parameters, l2=0.3)
    (record,) = recorder.history
    assert (record.step, record.epoch) == (60, 5)
    assert record.cost == pytest.approx(t.cost, rel=1e-12)
    for layer, one in zip(record.layers, t.measures, strict=True):
        assert layer.dW_norm == pytest.approx(one.dW_norm, rel=1e-12)
        assert layer.gradient == pytest.approx(one.gradient, rel=1e-12)
        assert layer.dead == one.dead
        assert layer.change is None
    assert recorder.trace().cost == record.cost


def test_the_update_ratio_is_the_step_s(data):
    """After one step of plain gradient descent the change is learning_rate * ||dW|| / ||W||."""
    steps = []

    class Both(TraceRecorder):
        def __call__(self, progress):
            super().__call__(progress)
            steps.append((progress.steps, progress.parameters["W1"].copy()))

    recorder = Both(every=1)
    _fit(data, recorder, optimizer=SGD(0.1, momentum=0), epochs=1)
    at = dict(steps)
    for record in recorder.history[1:]:
        W, before = at[record.step], at[record.step - 1]
        ratio = np.linalg.norm(W - before) / np.linalg.norm(W)
        assert record.layers[0].change == pytest.approx(ratio, rel=1e-10)


@pytest.mark.parametrize("output", ["sigmoid", "softmax", "identity", "exp"])
def test_the_sample_has_the_labels_and_weights_that_are_trained_on(data, output):
    X, y = data
    labels = {
        "sigmoid": y, "softmax": y + (X[:, 2] > 0), "identity": X[:, :2] + 1, "exp": 3 * y
    }[output]  # fmt: skip
    weights = np.random.default_rng(1).uniform(0.5, 2, 600)
    recorder = TraceRecorder(every=60, rows=10_000)
    found = fit(
        X, labels, hidden=(12,), output=output, batch_size=50, epochs=5, threads=1,
        sample_weight=weights, callback=recorder,
    )  # fmt: skip
    columns = np.eye(3)[:, labels] if output == "softmax" else labels.reshape(600, -1).T
    t = trace(X.T, columns, found.parameters, activations=["relu", output], sample_weight=weights)
    assert recorder.history[0].cost == pytest.approx(t.cost, rel=1e-12)


def test_sparse_inputs_and_validation(data):
    X, y = data
    X = np.where(np.abs(X) > 1, X, 0)
    sparse, dense = TraceRecorder(every=20), TraceRecorder(every=20)
    _fit((scipy.sparse.csr_array(X), y), sparse, validation=0.2)
    _fit((X, y), dense, validation=0.2)
    assert len(dense.history) == len(sparse.history) > 0
    for a, b in zip(sparse.history, dense.history, strict=True):
        assert a.cost == pytest.approx(b.cost, rel=1e-9)


def test_it_limits_the_time_that_it_takes(data):
    """By default, looks are apart by so many times what the one before took."""
    recorder = TraceRecorder(share=0.2)
    _fit(data, recorder, epochs=400)
    history = recorder.history
    assert history[-1].step == 400 * 12  # the last state always
    between = np.diff(history.column("seconds"))[:-1]
    assert recorder.seconds <= 0.35 * history[-1].seconds + history[0].seconds + 0.05
    assert (between > 0).all()


def test_alarms_are_kept_with_the_step_that_first_raised_them(data):
    X, y = data
    recorder = TraceRecorder(every=10)
    _fit((1000 * X, y), recorder)
    text, step = next(iter(recorder.history.alarms.items()))
    assert "the inputs are large" in text
    assert step == 10


def test_histories_go_through_json(data):
    recorder = TraceRecorder(every=20)
    _fit(data, recorder)
    history = recorder.history
    same = TraceHistory.from_dict(json.loads(json.dumps(history.as_dict())))
    assert list(same) == list(history)
    assert same.activations == ("relu", "relu", "sigmoid")
    assert json.loads(history.to_json()) == history.as_dict() | {
        "activations": ["relu", "relu", "sigmoid"],
        "records": json.loads(json.dumps(history.as_dict()["records"])),
    }
    assert str(history).splitlines()[0] == "3 records, steps 20 to 60"
    assert history.column("dW_norm", 2) == [r.layers[1].dW_norm for r in history]
    assert "empty" in repr(TraceHistory())


def test_tensorboard_reads_what_was_written(data, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    recorder = TraceRecorder(every=20, tensorboard=tmp_path / "live")
    _fit(data, recorder)
    write_tensorboard(recorder.history, tmp_path / "after")
    for folder in ("live", "after"):
        events = EventAccumulator(str(tmp_path / folder))
        events.Reload()
        tags = events.Tags()["tensors"]
        assert {"cost", "dead/layer 1", "dW_norm/layer 3", "change/layer 2"} <= set(tags)
        assert "saturated/layer 1" not in tags  # relu does not
        for tag in tags:
            name, _, layer = tag.partition("/layer ")
            held = [
                (event.step, float(make_ndarray(event.tensor_proto)))
                for event in events.Tensors(tag)
            ]
            values = recorder.history.column(name, int(layer) if layer else None)
            steps = recorder.history.column("step")
            expected = [(s, v) for s, v in zip(steps, values, strict=True) if v is not None]
            assert held == [(s, pytest.approx(v, rel=1e-6)) for s, v in expected]


def test_without_tensorboard_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboard.summary", None)
    with pytest.raises(SettingError, match=r"pip install 'backlit\[tensorboard\]'"):
        TraceRecorder(tensorboard=tmp_path)


@pytest.mark.parametrize(
    "settings", [{"every": 0}, {"every": 1.5}, {"rows": True}, {"share": 0}, {"share": "much"}]
)
def test_settings_that_mean_nothing(settings):
    with pytest.raises(SettingError, match=f"TraceRecorder: {next(iter(settings))} is"):
        TraceRecorder(**settings)


def test_a_trace_before_any_training():
    with pytest.raises(SettingError, match="no training has called"):
        TraceRecorder().trace()
