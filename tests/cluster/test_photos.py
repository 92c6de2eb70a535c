"""Pictures read by workers are the same pictures."""

import numpy as np
from distributed import get_task_stream

from backlit.cluster import train_photos
from backlit.photos import Recipe, train
from sample_pictures import save_day_night


def test_training_on_a_cluster_gives_the_same_model(client, tmp_path):
    folder = save_day_night(tmp_path / "photos", 15)
    (folder / "night" / "broken.jpg").write_bytes(b"no picture")
    recipe = Recipe(hidden=(6,), members=1, epochs=3, copies=2)
    warned, told = [], []

    class Progress:
        def stage(self, name, total):
            told.append(name)

        def advance(self, done, note=""):
            told.append(done)

    here = train(folder, recipe, warn=lambda text: None)
    with get_task_stream(client) as stream:
        there = train_photos(
            folder, recipe, client=client, chunk=2, warn=warned.append, progress=Progress()
        )
    assert len({task["worker"] for task in stream.data}) > 1
    assert here.broken == there.broken
    assert len(warned) == 1
    assert 31 in told[told.index("reading") :]
    for name, value in here.classifier.parameters.items():
        np.testing.assert_array_equal(there.classifier.parameters[name], value)
    np.testing.assert_array_equal(there.classifier.mean, here.classifier.mean)
