import os

import pytest

from backlit.errors import ModelFileError
from backlit.formats.models import Fields
from backlit.formats.tensors import load_tensors
from fuzzing import mutations
from fuzzing.targets import TARGETS, attempt, case, read_tensors, tensors_seeds

#: files of targets that take long: each is checked in full
SLICE = {"check_python": 40}


@pytest.mark.parametrize("name", list(TARGETS))
def test_damaged_files(tmp_path, name):
    """What `python -m benchmarks.fuzz` does with thousands."""
    target = TARGETS[name]
    path = tmp_path / f"damaged{target.ending}"
    outcomes = set()
    for index in range(SLICE.get(name, 120)):
        try:
            outcomes.add(attempt(target, path, *case(target, 1, index)))
        except Exception as error:
            raise AssertionError(f"{name}, file {index} of seed 1: {error}") from error
    assert outcomes == {"accepted", "refused"}  # the damage is neither all nor nothing


def test_the_fuzzer_sees_a_wrong_number(tmp_path):
    """A changed number under a right checksum is one that only the comparison can see."""
    good = tensors_seeds()[0]
    header, body = mutations.unpacked(good)
    other = mutations.with_checksum(mutations.packed(header, bytes([body[0] ^ 1]) + body[1:]))
    (tmp_path / "m").write_bytes(other)
    read_tensors(tmp_path / "m", good, forged=True)
    with pytest.raises(AssertionError, match="has other numbers"):
        read_tensors(tmp_path / "m", good, forged=False)


def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelFileError, match="found no regular file"):
        load_tensors(tmp_path / "pipe")


def test_names_that_no_file_can_have():
    with pytest.raises(ModelFileError, match="null"):
        load_tensors("a\0b")


def test_nothing_is_allocated_before_everything_fits(tmp_path, monkeypatch):
    """A description that does not fit is refused before a tensor is made."""
    (tmp_path / "m").write_bytes(tensors_seeds()[0])

    def check(description, places):
        Fields("m", description).refuse("classes", description["classes"], "others")

    def fail(*_):
        raise AssertionError("allocated")

    monkeypatch.setattr("backlit.formats.tensors.np.empty", fail)
    with pytest.raises(ModelFileError, match="classes: found"):
        load_tensors(tmp_path / "m", check)
