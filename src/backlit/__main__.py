"""``python -m backlit``."""

from backlit.cli import main

if __name__ == "__main__":
    main()
