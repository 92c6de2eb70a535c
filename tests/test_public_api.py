import importlib
import subprocess
import sys

import pytest

import backlit

HEAVY = ("numpy", "scipy", "numba", "sklearn", "matplotlib", "PIL", "rich", "typer", "jax")


def _loaded_after(statement):
    code = f"import sys; {statement}; print(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return set(done.stdout.split())


def test_import_loads_nothing_heavy():
    loaded = _loaded_after("import backlit; backlit.__version__; dir(backlit)")
    assert "backlit" in loaded
    assert not loaded & set(HEAVY)


def test_the_open_functions_load_numpy_and_nothing_slower():
    loaded = _loaded_after("import backlit; backlit.model_forward, backlit.compute_cost")
    assert "numpy" in loaded
    assert not loaded & set(HEAVY) - {"numpy"}


@pytest.mark.parametrize("name", backlit.__all__)
def test_every_public_name_resolves_and_is_documented(name):
    value = getattr(backlit, name)
    assert value is getattr(backlit, name)
    if name != "__version__":
        assert value.__doc__
        home = importlib.import_module(backlit._HOMES[name])
        assert value is getattr(home, name)


def test_the_lists_of_public_names_agree():
    assert set(backlit.__all__) == set(backlit._HOMES) | {"__version__"}
    assert len(set(backlit.__all__)) == len(backlit.__all__)
    assert set(backlit.__all__) <= set(dir(backlit))


def test_star_import_brings_them_all():
    namespace = {}
    exec("from backlit import *", namespace)
    assert set(backlit.__all__) <= set(namespace)


def test_the_course_s_names_are_the_same_functions():
    assert backlit.L_model_forward is backlit.model_forward
    assert backlit.L_model_backward is backlit.model_backward
    assert backlit.initialize_parameters_deep is backlit.initialize_parameters


def test_a_wrong_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'backlit' has no attribute 'modle_forward'"):
        backlit.modle_forward  # noqa: B018


def test_version_is_that_of_the_distribution():
    from importlib.metadata import version

    assert backlit.__version__ == version("backlit")


def test_exceptions_are_what_callers_catch_already():
    from backlit import errors

    for name, builtin in (
        ("ShapeError", ValueError),
        ("DTypeError", TypeError),
        ("NonFiniteError", ValueError),
        ("UnknownNameError", ValueError),
        ("SettingError", ValueError),
        ("CacheError", ValueError),
        ("PhotoError", OSError),
    ):
        kind = getattr(errors, name)
        assert issubclass(kind, builtin)
        assert issubclass(kind, errors.BacklitError)
