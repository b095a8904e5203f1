"""``python -m aitp_playground`` is the command ``aitp-playground``."""

from aitp_playground.cli import main

if __name__ == "__main__":
    main()
