"""The page: read, search and follow along in a browser, and the same things as JSON.

Server-rendered HTML and a little JavaScript of our own; no request leaves this machine except for the video
player that the reader opens. One person's page: it is bound to this machine unless told otherwise, and then
asks for a token (guard.py). Each request opens the library for itself, which takes a millisecond, so that no
connection is shared between threads.
"""
