import numpy as np
from PIL import Image

from backlit import TraceRecorder
from backlit.photos import Recipe, train
from sample_pictures import night_picture, save_day_night

QUICK = Recipe(members=5, epochs=8, copies=1)


def test_members_are_recorded_and_no_bit_changes(tmp_path):
    save_day_night(tmp_path, 12)
    recorders = []

    def make(member):
        assert member == len(recorders)
        recorders.append(TraceRecorder(every=2))
        return recorders[-1]

    traced, plain = train(tmp_path, QUICK, recorders=make), train(tmp_path, QUICK)
    for name, value in plain.classifier.parameters.items():
        np.testing.assert_array_equal(traced.classifier.parameters[name], value)
    assert [len(history) > 2 for history in traced.traces] == [True] * 5
    assert traced.traces == [recorder.history for recorder in recorders]
    assert traced.last_trace.layer_dims[1:] == (*QUICK.hidden, 1)
    assert plain.traces == []
    assert plain.last_trace is None


def test_a_wrong_label_pulls_hardest(tmp_path):
    save_day_night(tmp_path, 15)
    wrong = tmp_path / "day" / "wrong.png"
    Image.fromarray(night_picture(np.random.default_rng(77))).save(wrong)
    trained = train(tmp_path, Recipe(members=5, epochs=25, copies=1))
    judged = trained.judgements["validation"]
    assert len(judged.gradient_norms) == 31
    assert str(wrong) in map(str, judged.hardest(2))
    assert trained.judgements["train"].hardest() == []
