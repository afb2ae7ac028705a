#!/usr/bin/env python3
"""Compares caisd with a real Docker. `bench/run.py --help` tells how."""

import runpy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.dont_write_bytecode = True
runpy.run_module("bench.main", run_name="__main__")
