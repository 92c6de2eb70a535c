"""What is compiled for photographs: features of many pictures, and their reduction."""

from backlit.training.machine_code.programs import Program

PROGRAM = Program(
    name="features",
    signatures={"features_of": "nbRRiR", "square_of": "nnnbiibib"},
    types=("float32",),
    definitions="backlit.photos.compiled.definitions",
    sources=(
        "backlit.training.engine.simd",
        *(
            f"backlit.photos.compiled.{module}"
            for module in (
                "definitions", "patches", "pixels", "places", "program", "reducing", "statistics",
            )
        ),
        *(
            f"backlit.photos.{module}"
            for module in (
                "features", "hues", "patches", "pixels", "rank_statistics", "soft_histograms",
            )
        ),
    ),
    place="backlit.photos.compiled.program:PROGRAM",
)  # fmt: skip
