"""YouTube and every other site that yt-dlp knows, in a child process."""
