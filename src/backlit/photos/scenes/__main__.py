"""Draw a contact sheet of rendered scenes: ``python -m backlit.photos.scenes OUT.png``."""

import argparse

from backlit.photos.scenes import contact_sheet, render_scenes


def main(arguments: list[str] | None = None) -> None:
    """Read the command line, render and save."""
    parser = argparse.ArgumentParser(
        prog="python -m backlit.photos.scenes",
        description="Draw a contact sheet of rendered scenes, days and nights in turn.",
    )
    parser.add_argument("out", metavar="OUT.png", help="picture file to write")
    parser.add_argument("--seed", type=int, default=0, help="seed of the set (default: 0)")
    parser.add_argument("--columns", type=int, default=8, help="scenes in a row (default: 8)")
    parser.add_argument("--scenes", type=int, default=64, help="how many (default: 64)")
    given = parser.parse_args(arguments)
    try:
        images, _ = render_scenes(given.scenes, seed=given.seed)
        contact_sheet(images, columns=given.columns).save(given.out)
    except (ValueError, OSError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
