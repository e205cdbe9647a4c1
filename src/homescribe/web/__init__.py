"""The web interface: search, read and listen in a browser, and the same data as JSON.

Server-rendered HTML and a little JavaScript. The browser sends no request to another machine, except to
YouTube's player once the reader opens it. The server is meant for one person: it listens on this machine
only, and where `--host` opens it to others, every request needs a token (security.py). Each request opens the
library anew, which takes a millisecond, so that threads share no database connection.
"""
