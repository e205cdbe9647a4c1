"""Captions and transcripts that publishers provide: from the bytes of a file to a Transcript.

Every file is hostile input. `caption_files.read` is the way in; a module for each format turns the file into
`Cue`s, and `cue_transcript.py` turns those into segments.
"""

from homescribe.captions.time_shift import drift

__all__ = ["drift"]
