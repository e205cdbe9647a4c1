"""Engines: implementations of Whisper behind one protocol (core.Engine)."""

import os

# By default, OpenMP threads spin while they wait for each other. On a machine with other work, they then
# occupy cores that those other programs need: 60 clips of 7 seconds on two busy cores took four times as
# long. torch and CTranslate2 read this variable when they are loaded, so it is set before both.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
