"""Names before the text of srt, as Podcasting 2.0 asks for: "Ann: Yes." where another one spoke before.

https://github.com/Podcastindex-org/podcast-namespace/blob/main/docs/examples/transcripts/transcripts.md

Any line may begin in this way ("Note: ..."), so a file is taken for one with names only if it has the form of
a conversation.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from homescribe.captions.timed_cues import Cue

NAME_WORDS = 4
LEAST_USES = 2  # of a name in the file
LEAST_NAMES = 2
FIRST_CUES = 5  # one of them has a name: whoever speaks first
_NAME = re.compile(r"[^\W\d_][\w.'’-]*(?: [^\W\d_][\w.'’-]*)*")


def with_speakers(cues: Sequence[Cue]) -> list[Cue]:
    """Return the cues of a conversation with their speakers, and without names in the text.

    Those of another file are returned as they are.
    """
    labels = [_label(each) for each in cues]
    uses = Counter(label[0] for label in labels if label)
    names = {name for name, count in uses.items() if count >= LEAST_USES}
    begins = any(label and label[0] in names for label in labels[:FIRST_CUES])
    if len(names) < LEAST_NAMES or not begins:
        return list(cues)
    found: list[Cue] = []
    speaker: str | None = None
    for each, label in zip(cues, labels, strict=True):
        if label and label[0] in names:
            speaker, count = label
            first, *others = each.rows
            rest = tuple(row for row in (first[count:], *others) if row)
            if not rest:  # the name alone: the text follows in the next cue
                continue
            each = replace(each, rows=rest)
        found.append(replace(each, speaker=speaker))
    return found


def _label(each: Cue) -> tuple[str, int] | None:
    """Return the name at the start of a cue, and the number of its words; None without one."""
    words = [text for text, _ in each.rows[0][:NAME_WORDS]]
    for count, word in enumerate(words, 1):
        if word.endswith(":"):
            name = "".join(words[:count])[:-1].strip()
            is_name = _NAME.fullmatch(name) and not name[0].islower()
            return (name, count) if is_name else None
    return None
