"""The model of a run over an archive: written once by the client, read once by each worker."""

import tempfile
from pathlib import Path
from typing import Any

from backlit.cluster.store import Store
from backlit.errors import ClusterError

_MODEL, _ENCODER = "model.safetensors", "encoder.onnx"


def save_model(store: Store, classifier: Any) -> None:
    """Write the model where the workers find it."""
    with tempfile.TemporaryDirectory(prefix="backlit-") as folder:
        path = Path(folder) / _MODEL
        classifier.save(path)
        store.write(_MODEL, path.read_bytes())
    encoder = classifier.open_encoder()
    if encoder is not None and encoder.identity.graph == 0:  # a file of the user's own
        store.write(_ENCODER, encoder.data)


def load_model(store: Store, digest: str) -> Any:
    """Read the model of a run.

    Raises
    ------
    ClusterError
        If it is not there, or another one.
    """
    from backlit.photos.classifier import PhotoClassifier

    data = store.read(_MODEL)
    if data is None:
        raise ClusterError(f"{store.url}/{_MODEL} is not there: a worker does not see the output.")
    with tempfile.TemporaryDirectory(prefix="backlit-") as folder:
        path = Path(folder) / _MODEL
        path.write_bytes(data)
        classifier = PhotoClassifier.load(path)
        if classifier.encoder is not None:
            network = store.read(_ENCODER)
            if network is not None:
                (Path(folder) / Path(classifier.encoder.name).name).write_bytes(network)
            classifier.open_encoder()  # from now on it is in the memory of this process
    if classifier.digest != digest:
        raise ClusterError(f"{store.url}/{_MODEL} is the model of another run.")
    return classifier
