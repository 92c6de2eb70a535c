import numpy as np
import pytest

from backlit import initialize_parameters, model_forward
from backlit.photos.ensemble import merge_members


@pytest.mark.parametrize("dims", [(9, 1), (9, 4, 1), (9, 6, 4, 3)])
def test_the_merged_network_has_the_mean_logit(dims):
    generator = np.random.default_rng(0)
    members = []
    for seed in range(3):
        member = initialize_parameters(dims, seed=seed)
        for name, value in member.items():
            member[name] = (value + generator.normal(0, 0.3, value.shape)).astype(np.float32)
        members.append(member)
    X = generator.normal(size=(9, 11)).astype(np.float32)
    activations = ("relu",) * (len(dims) - 2) + ("linear",)
    expected = np.mean(
        [model_forward(X, member, activations=activations)[0] for member in members], axis=0
    )
    merged = merge_members(members, temperature=2.5)
    assert all(value.dtype == np.float32 for value in merged.values())
    found = model_forward(X, merged, activations=activations)[0]
    np.testing.assert_allclose(found, expected / 2.5, rtol=2e-5, atol=2e-6)
