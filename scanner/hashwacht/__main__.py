"""``python -m hashwacht`` is ``hashwacht``."""

from hashwacht.cli import main

if __name__ == "__main__":
    main()
