"""Engines: Whisper in several implementations, behind one protocol."""

import os

# OpenMP's threads spin while they wait for each other. On a machine that does anything else besides, they
# then wait for a core that is lent to somebody: 60 clips of 7 seconds on two busy cores took four times as
# long. Read when torch or CTranslate2 is loaded, so it stands before both.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
