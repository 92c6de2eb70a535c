"""`export` of the estimators."""

import os
from typing import Any

from backlit._locks import importing


class ExportMixin:
    """What a fitted estimator becomes elsewhere."""

    def export(
        self,
        path: str | os.PathLike[str],
        *,
        dtype: str | None = None,
        inputs: Any = None,
        name: str | None = None,
    ) -> None:
        """Write the fitted estimator as ONNX, C, JavaScript or Python, as the path's ending says.

        Parameters
        ----------
        path, dtype, inputs, name
            As for `backlit.export`, which exports whole pipelines, too.

        Raises
        ------
        ExportError, SettingError
            As `backlit.export` does.
        """
        with importing:
            from backlit.formats.export.exporting import export

        export(self, path, dtype=dtype, inputs=inputs, name=name)
