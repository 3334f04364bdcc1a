"""What all tests share."""

import os

os.environ.setdefault("MPLBACKEND", "Agg")  # no window opens, here or in a program that a test starts
