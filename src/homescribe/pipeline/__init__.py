"""From an address to transcripts: `add` and `sync` list items, `Run` downloads and transcribes them.

Only the calling thread uses the library. Listing and transcribing are iterators: iterate over `add` or `sync`
for what each listing contained, over `Run` for the Outcomes.
"""

from homescribe.pipeline.add import ListingResult, Sources, add, may_have_new_items, sync
from homescribe.pipeline.run import Run
from homescribe.pipeline.state import Progress

__all__ = ["ListingResult", "Progress", "Run", "Sources", "add", "may_have_new_items", "sync"]
