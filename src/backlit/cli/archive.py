"""``backlit predict --cluster``."""

from pathlib import Path
from typing import Any

import typer

from backlit.cli.options import SOME_FAILED
from backlit.cli.saving import photo_classifier


def predict_on_cluster(
    paths: list[str],
    address: str,
    model: Path | None,
    form: str | None,
    output: str | None,
    unsure: float,
    resume: bool,
    chunk: int,
    tls: tuple[Path | None, Path | None, Path | None],
) -> None:
    """Predict an archive in chunks; parts and a manifest in a folder.

    Raises
    ------
    SettingError, ClusterError
        As `backlit.cluster.predict_archive`.
    """
    from backlit._progress import ProgressBar
    from backlit.cluster import connect, predict_archive
    from backlit.console import note
    from backlit.errors import SettingError

    if output is None:
        raise SettingError("--cluster needs an --output: a folder or URL for the parts.")
    if form not in (None, "csv", "parquet"):
        raise SettingError(f"--cluster writes csv or parquet, not {form}.")
    classifier = photo_classifier(model)
    ca, cert, key = tls
    with (
        connect(address, tls_ca=ca, tls_cert=cert, tls_key=key) as client,
        ProgressBar("predicting", unit="pictures") as bar,
    ):
        found: Any = predict_archive(
            paths,
            output,
            client=client,
            model=classifier,
            unsure=unsure,
            form=form or "csv",
            chunk=chunk,
            resume=resume,
            tick=bar.tick,
        )
    before = f", {found.before:,} of them done before" if found.before else ""
    note(f"{found.pictures:,} pictures in {found.parts:,} parts{before}: {output}")
    if found.failed:
        note(f"{found.failed:,} could not be read; their rows say why.")
        raise typer.Exit(SOME_FAILED)
