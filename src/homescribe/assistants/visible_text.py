"""Text of strangers for a language model: what a person would see of it, on one line.

Characters that are not shown could carry instructions past the person who reads along: "tag" letters of
U+E0000, variation selectors in a row, zero-width spaces, characters that reverse the direction of a line.
"""

from __future__ import annotations

import re

from homescribe.text.display import shortened
from homescribe.text.redaction import shown_text

# Control characters and surrogates; what is invisible between letters; directions; tags; variation selectors
# for rare characters. The joiners U+200C and U+200D stay: Persian, Indian scripts and emoji need them.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_SURROGATES = re.compile("[\ud800-\udfff]")
_SELECTORS = re.compile("([\ufe00-\ufe0f])[\ufe00-\ufe0f]+")  # one may follow a character


def visible(text: str, characters: int | None = None) -> str:
    """Return `text` on one line without invisible characters; at most `characters`, with an ellipsis."""
    text = _SURROGATES.sub("\ufffd", _INVISIBLE.sub("", text))
    text = " ".join(_SELECTORS.sub(r"\1", text).split())
    return text if characters is None else shortened(text, characters)


def visible_message(text: str) -> str:
    """Return a message as `visible` does, without the secrets in its addresses."""
    return visible(shown_text(text))
