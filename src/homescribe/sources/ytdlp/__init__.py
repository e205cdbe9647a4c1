"""YouTube and every other site that yt-dlp supports. yt-dlp runs in child processes."""
