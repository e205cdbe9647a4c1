"""The built-in sources: local files, podcast feeds, and every site that yt-dlp supports."""

from homescribe.core import SECOND

POLL_INTERVAL = 0.05 * SECOND  # between two checks of a `stop` event while waiting
