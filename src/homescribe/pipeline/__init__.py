"""From an address to transcripts: `add` and `sync` list, `Run` downloads and transcribes.

The calling thread alone touches the library. Long work is an iterator: `sync` of what was listed, `Run` of
Outcomes; whoever iterates shows them.
"""

from homescribe.pipeline.listing import Listed, Sources, add, sync
from homescribe.pipeline.run import Progress, Run

__all__ = ["Listed", "Progress", "Run", "Sources", "add", "sync"]
