"""The double's program. A test double: it never ships, speaks no protocol and encrypts nothing.

Plain Python >= 3.11 without third-party packages, run as `python3 -I -S`: `install.py` copies this package
whole. It is started thousands of times, so modules are imported where they are first needed, and nothing
slow to import (pathlib, argparse, dataclasses) is used at all.
"""
