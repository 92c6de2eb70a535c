"""Networks trained where the features lie: the same for any cluster, and one machine's."""

import os
import signal

import numpy as np
import pytest

from backlit.cluster import Plan, picture_reader, train_photos
from backlit.cluster.pictures import SpreadPictures, deal_pictures, rows_of
from backlit.errors import CheckpointError
from backlit.photos import Recipe, train
from backlit.photos.duplicates import near_duplicates
from backlit.photos.examples import Examples, read_examples, read_pieces
from backlit.photos.features import feature_names
from backlit.photos.learning import across_splits
from backlit.training import Adam, Checkpoint
from backlit.training.engine.engine import Engine
from backlit.training.engine.engine import Examples as EngineExamples
from backlit.training.schedules import as_schedule
from sample_pictures import save_day_night

RECIPE = Recipe(hidden=(6,), members=1, epochs=3, copies=2, batch_size=60, learning_rate=0.01)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return pictures in three splits, one of them broken, one in two splits."""
    root = tmp_path_factory.mktemp("spread") / "photos"
    for split, count in (("train", 24), ("val", 6), ("test", 5)):
        save_day_night(root / split, count, seed=count * 10)
    (root / "train" / "night" / "0000_broken.jpg").write_bytes(b"no picture")
    twin = sorted((root / "train" / "day").iterdir())[3]
    (root / "test" / "day" / twin.name).write_bytes(twin.read_bytes())
    return root


@pytest.fixture(autouse=True)
def small_partitions(monkeypatch):
    monkeypatch.setattr("backlit.cluster.pictures.LEAST_PICTURES", 7)
    monkeypatch.setattr("backlit.cluster.plan.ROWS_A_LANE", 10)


def spread_here(sources, labels, *, copies, seed, workers, tick, pieces=None):
    """Read pictures into partitions in this process."""
    return SpreadPictures(
        None,
        sources,
        labels,
        copies=copies,
        seed=seed,
        pieces=pieces,
        signatures=True,
        timeout=60,
        tick=tick,
    )


def quiet(text):
    pass


@pytest.fixture(scope="module")
def here(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("backlit.cluster.pictures.LEAST_PICTURES", 7)
        patch.setattr("backlit.cluster.plan.ROWS_A_LANE", 10)
        return train(folder, RECIPE, warn=quiet, read=spread_here)


def arrays_of(trained):
    found = {**trained.classifier.parameters}
    found |= {"mean": trained.classifier.mean, "scale": trained.classifier.scale}
    for split, one in trained.judgements.items():
        found |= {f"{split} labels": one.labels, f"{split} probabilities": one.probabilities}
        if one.gradient_norms is not None:
            found[f"{split} norms"] = one.gradient_norms
    return found


def same(first, second, **tolerance):
    one, other = arrays_of(first), arrays_of(second)
    assert one.keys() == other.keys()
    for name, value in one.items():
        if tolerance:
            np.testing.assert_allclose(other[name], value, err_msg=name, **tolerance)
        else:
            np.testing.assert_array_equal(other[name], value, err_msg=name)
    for what in ("broken", "notes", "duplicates", "epochs"):
        assert getattr(first, what) == getattr(second, what)
    for split, one in first.judgements.items():
        assert one.names == second.judgements[split].names


def test_with_one_batch_an_epoch_it_is_the_training_of_one_machine(folder):
    recipe = Recipe(hidden=(6,), members=2, epochs=4, copies=2, batch_size=10_000)
    plain = train(folder, recipe, warn=quiet)
    spread = train(folder, recipe, warn=quiet, read=spread_here)
    assert len(plain.broken) == 1
    assert plain.duplicates
    same(plain, spread, rtol=1e-4, atol=1e-5)


def test_batches_are_those_of_the_plan(folder):
    paths = sorted(str(path) for path in (folder / "train").glob("*/*"))
    labels = [int("night" in path) for path in paths]
    pieces = read_pieces(paths, labels, seed=3)
    pictures = spread_here(paths, labels, copies=2, seed=3, pieces=pieces, workers=None, tick=None)
    memory = read_examples(paths, labels, copies=2, seed=3, pieces=pieces)
    assert pictures.names == memory.names
    chosen = np.arange(len(pictures)) % 5 != 0
    moments = pictures.moments()
    np.testing.assert_allclose(moments, memory.moments(), rtol=1e-6)
    learnt = memory.learnable(chosen)
    np.testing.assert_array_equal(pictures.learnable(chosen), learnt)
    assert 0 < np.count_nonzero(learnt) < 3 * np.count_nonzero(chosen)  # fewer of some collages
    found = pictures.fit(
        learnt, pictures, ~chosen, moments, hidden=(5,), optimizer=Adam(0.01), schedule="cosine",
        batch_size=31, epochs=3, l2=0.4, seed=8, dtype=np.float32, patience=3,
    )  # fmt: skip
    parts = pictures.blocks(rows_of, learnt, moments).parts
    X, y = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
    # the rows are those of memory, in another order
    rows, own = memory.rows(learnt, moments)
    order, mine = np.lexsort(rows.T), np.lexsort(X.T)
    np.testing.assert_array_equal(X[mine], rows[order])
    np.testing.assert_array_equal(y[mine], own[order])
    sizes = [len(part[1]) for part in parts]
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    generator = np.random.default_rng(8)
    vector = begin(X.shape[1], generator)
    plan = Plan(sizes, 31, None, int(generator.integers(1 << 62)))
    assert plan.n_lanes == 3
    order, starts = [], [0]
    for epoch in range(3):
        for batch in range(plan.n_batches):
            for lane in range(plan.n_lanes):
                for p, low, high in plan.pieces(epoch, batch, lane):
                    order.append(first[p] + plan.rows(epoch, p)[low:high])
            starts.append(starts[-1] + plan.batch_rows(batch))
    engine = Engine(
        (X.shape[1], 5, 1), ("relu", "sigmoid"), "binary_cross_entropy", vector, 31,
        numbers=Adam(0.01).numbers()._replace(l2=0.4),
    )  # fmt: skip
    steps = np.arange(len(starts) - 1)
    rates = 0.01 * as_schedule("fit", "cosine").factors(steps, len(steps))
    engine.train(
        EngineExamples(X, y.astype(np.int32)), np.concatenate(order), np.array(starts), rates
    )
    assert found.best_epoch == 3
    np.testing.assert_allclose(found.vector, vector, rtol=1e-3, atol=2e-6)


def begin(n_0, generator):
    from backlit.parameters import Layout, initialize_parameters

    dims = (n_0, 5, 1)
    drawn = initialize_parameters(
        dims, generator, activations=("relu", "sigmoid"), dtype=np.float32
    )
    return Layout(dims).pack(drawn, np.float32)


@pytest.mark.parametrize("count", [1, 3, 5])
def test_any_number_of_workers_gives_the_same_bits(folder, here, workers, count):
    told = []

    class Progress:
        def stage(self, name, total):
            told.append(name)

        def advance(self, done, note=""):
            told.append(done)

    found = train_photos(
        folder, RECIPE, client=workers(count), on_workers=True, warn=quiet, progress=Progress()
    )
    assert told.index("reading parts") < told.index("reading train")
    assert 49 in told[told.index("reading train") : told.index("training 1/1")]
    same(here, found)


def test_a_killed_worker_changes_no_bit(folder, here, workers, monkeypatch):
    monkeypatch.setattr("backlit.cluster.training._TELL_SECONDS", 0.0)
    client = workers(2)
    address = min(client.nthreads())
    pid = client.run(os.getpid, workers=[address])[address]
    killed = []

    class Progress:
        def stage(self, name, total):
            self.training = name.startswith("training")

        def advance(self, done, note=""):
            if self.training and done == 1 and not killed:
                killed.append(os.kill(pid, signal.SIGKILL))

    found = train_photos(
        folder, RECIPE, client=client, on_workers=True, warn=quiet, progress=Progress()
    )
    assert killed
    same(here, found)


def test_an_interrupted_training_goes_on_to_the_same_bits(folder, here, workers, tmp_path):
    client = workers(2)

    class Stop:
        def stage(self, name, total):
            self.training = name.startswith("training")

        def advance(self, done, note=""):
            if self.training and done == 2:
                raise KeyboardInterrupt

    settings = {"client": client, "warn": quiet, "checkpoint": Checkpoint(tmp_path / "kept", 0)}
    with pytest.raises(KeyboardInterrupt):
        train_photos(folder, RECIPE, on_workers=True, progress=Stop(), **settings)
    assert (tmp_path / "kept" / "member-01").is_dir()
    with pytest.raises(CheckpointError, match="kind was cluster-fit, is fit"):
        train_photos(folder, RECIPE, on_workers=False, resume=True, **settings)
    found = train_photos(folder, RECIPE, on_workers=True, resume=True, **settings)
    same(here, found)


def test_features_stay_where_they_are_too_many(folder, client, monkeypatch):
    paths = sorted(str(path) for path in (folder / "val" / "day").iterdir())
    settings = {"copies": 3, "seed": 0, "workers": None, "tick": None}
    size = len(paths) * 4 * len(feature_names()) * 4
    monkeypatch.setattr("backlit.cluster.photos.MOST_ON_CLIENT", size)
    kept = picture_reader(client)(paths, [0] * len(paths), **settings)
    assert isinstance(kept, Examples)
    monkeypatch.setattr("backlit.cluster.photos.MOST_ON_CLIENT", size - 1)
    spread = picture_reader(client)(paths, [0] * len(paths), **settings)
    assert isinstance(spread, SpreadPictures)
    assert spread.copies == kept.copies == 3
    np.testing.assert_array_equal(spread.signatures, kept.signatures)
    np.testing.assert_array_equal(spread.brightness, kept.brightness)
    np.testing.assert_array_equal(
        spread.near_duplicates_of(kept.signatures[::-1]),
        kept.near_duplicates_of(kept.signatures[::-1]),
    )
    assert isinstance(picture_reader(client, on_workers=True)([], [], **settings), Examples)


def test_splits_may_lie_in_different_places(folder, here):
    """A validation split that is small is here while the pictures that train are not."""

    def read(sources, labels, **settings):
        reader = spread_here if len(sources) > 20 else read_examples
        return reader(sources, labels, **settings)

    same(here, train(folder, RECIPE, warn=quiet, read=read), rtol=1e-5, atol=1e-6)


def test_the_other_way_round_the_few_are_here(folder):
    def read(sources, labels, **settings):
        reader = spread_here if len(sources) < 20 else read_examples
        return reader(sources, labels, **settings)

    plain = train(folder, RECIPE, warn=quiet)
    same(plain, train(folder, RECIPE, warn=quiet, read=read), rtol=1e-5, atol=1e-6)


def test_duplicates_are_found_from_the_fewer_pictures(folder):
    def pictures(split, spread):
        paths = sorted(str(path) for path in (folder / split).glob("*/*"))
        settings = {"copies": 0, "seed": 0, "workers": None, "tick": None}
        return (spread_here if spread else read_examples)(paths, [0] * len(paths), **settings)

    sets = {True: {}, False: {}}
    for spread, found in sets.items():
        for split in ("train", "test"):
            found[split] = pictures(split, spread)
    expected = across_splits(sets[False])
    assert len(expected) >= 1
    assert across_splits(sets[True]) == expected
    turned = [{"train": one["test"], "other": one["train"]} for one in sets.values()]
    found = across_splits(turned[0])
    assert across_splits(turned[1]) == found
    # in the order of the other split, each with its first twin
    few, many = sets[False]["test"], sets[False]["train"]
    pairs = near_duplicates(many.signatures, few.signatures).tolist()
    firsts = dict(reversed(pairs))
    assert len(pairs) > len(firsts) > 1
    assert found == [
        ("other", many.names[place], few.names[firsts[place]]) for place in sorted(firsts)
    ]


def test_pictures_are_dealt_by_their_number_and_the_seed():
    dealt = deal_pictures(1000, 5)
    assert [len(one) for one in dealt[:2]] == [15, 15]
    np.testing.assert_array_equal(np.sort(np.concatenate(dealt)), np.arange(1000))
    np.testing.assert_array_equal(dealt[7], deal_pictures(1000, 5)[7])
    assert not np.array_equal(dealt[7], deal_pictures(1000, 6)[7])
    # each is a sample of all, in order: a folder's pictures are sorted by class
    assert all((one[1:] > one[:-1]).all() for one in dealt)
    assert max(abs(float(one.mean()) - 500) for one in dealt) < 300
    assert len(deal_pictures(1_000_000, 0)) == 1000
