"""What a run stores in the library. Used by the iterating thread only.

Each method is one transaction, and is repeated while another program writes to the library (RepeatedWrites).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from threading import Event

from homescribe.core import Call, Item, Transcript, Usage
from homescribe.errors import ItemError, LibraryBusy, RetryableError, UserError
from homescribe.library import Library
from homescribe.library.engine_work import Deaths
from homescribe.pipeline.audio_copies import KeepAudio, NewAudio, NotKept
from homescribe.pipeline.repeated_writes import RepeatedWrites
from homescribe.pipeline.state import Progress
from homescribe.text.sanitize import one_line

Store = Callable[[Item, Transcript, float], Transcript | None]


class RunStorage:
    """Stores the results of a run in `library`, and the audio that it keeps.

    Args:
        stop: the run's.
        unfinished: returns the keys of the items that are still to be transcribed.
        stopping: lets nothing new start, when a write waits and `stop` is set.
        keep_audio, store: as for `Run`.
    """

    def __init__(
        self,
        library: Library,
        progress: Progress,
        stop: Event,
        unfinished: Callable[[], Collection[str]],
        stopping: Callable[[], None],
        *,
        keep_audio: KeepAudio | None,
        store: Store | None,
    ) -> None:
        self.writes = RepeatedWrites(library, stop, progress.library_is_busy, stopping)
        self._library = library
        self._unfinished = unfinished
        self._limit = keep_audio.limit if keep_audio else None
        self._store = store or self._save
        self._not_kept: dict[str, str] = {}  # by key, why the audio is not kept

    def transcript(self, item: Item, transcript: Transcript, seconds: float) -> Transcript | None:
        """Store what the engine returned; return what is stored, None if the item is not there any more."""
        return self.writes(self._store, item, transcript, seconds)

    def _save(self, item: Item, transcript: Transcript, seconds: float) -> Transcript | None:
        if not self._library.save(item, transcript, seconds, insert=False):
            return None
        # The stored one has replaced words, corrections and the names of known voices.
        return self._library.transcript(item.key)

    def failure(self, item: Item, error: ItemError, *, keep_call: bool = False) -> None:
        """Store that an item failed. `keep_call` is as for `Library.fail`."""
        self.writes(self._library.fail, item, error, keep_call=keep_call, insert=False)

    def call(self, call: Call) -> None:
        """Store a call that outlives this process."""
        self.writes(self._library.add_call, call, insert=False)

    def usage(self, usage: Usage) -> None:
        """Store what a call used, before its outcome: a call that is collected twice is counted once."""
        self.writes(self._library.add_usage, usage)
        if usage.outcome != "done":
            # Nothing is left to collect, even if the failure ends the run instead of the item.
            self.writes(self._library.drop_call, usage.call.item.key)

    def blocked_site(self, site: str, until: float, reason: str) -> None:
        """Store that a site requested a pause until the Unix time `until`."""
        self.writes(self._library.block_site, site, until, reason)

    def retry(self, keys: Collection[str]) -> None:
        """Delete the failures of items that are to be transcribed again."""
        if keys:
            self.writes(self._library.retry, keys)

    def finish_replacements(self) -> None:
        """Change the transcripts that a replacement has left when its process was killed."""
        self.writes(self._library.finish_replacements)

    # --- The work of an engine in this process -------------------------------------------------------

    def deaths(self) -> Deaths:
        """Count a process that died while its engine worked."""
        return self.writes(self._library.count_deaths)

    def started(self, item: Item) -> None:
        """Store that the engine in this process works on `item` from now on."""
        self.writes(self._library.start_work, item, insert=False)

    def process_alone(self, keys: Collection[str]) -> None:
        """Let the next run process these items last, and one at a time."""
        self.writes(self._library.process_alone, keys)

    def stopped(self) -> None:
        """Store that the engine works on nothing any more. At worst, an item is processed alone."""
        with suppress(UserError):  # the disk is full
            self.writes(self._library.stop_work)

    # --- Kept audio ----------------------------------------------------------------------------------

    def audio(self, item: Item, kept: NewAudio | NotKept | None) -> None:
        """Store the row of a file that is kept. Without it, the item is transcribed all the same."""
        if isinstance(kept, NotKept):
            self._not_kept[item.key] = kept.reason
        elif kept is not None:
            try:
                self.writes(
                    self._library.audio.add,
                    *(item, kept.path, kept.kind),
                    duration=kept.duration,
                    track=kept.track,
                )
            except LibraryBusy:  # after a stop; the next run deletes the file
                return
            except (UserError, OSError) as error:
                self._not_kept[item.key] = f"The audio was not kept. {error}"
                return
            self._not_kept.pop(item.key, None)
            self.limit_audio()

    def limit_audio(self) -> None:
        """Remove the oldest audio above the limit, but none that this run still has to transcribe."""
        folder = self._library.audio
        if self._limit is None or folder.total().bytes <= self._limit:
            return
        over = folder.over(self._limit, self._unfinished())
        # It is tried again after the next item.
        with suppress(UserError), self._library.busy_timeout(0):
            folder.remove([one.key for one in over])

    def why_not_kept(self, item: Item) -> tuple[str, ...]:
        """Return a sentence why the audio of a transcribed item is not kept; nothing if it is."""
        note = self._not_kept.pop(item.key, None)
        return (note,) if note else ()


def gone(item: Item) -> ItemError:
    """Return the error for an item that a listing or a person deleted while the run worked on it."""
    return RetryableError(
        f"{one_line(item.title)} was removed from the library, or replaced by another recording, while it "
        "was transcribed. Its transcript was not stored."
    )
