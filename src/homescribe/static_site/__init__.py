"""A channel as a static site: pages to read and a search in the browser, without a server.

The search index is in many small scripts, of which a query loads the few that it needs: a page that is opened
from a disk may load scripts, but no other data.
"""
