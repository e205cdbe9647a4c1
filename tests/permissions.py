"""File permissions for tests in which root runs a process as another user."""

import os


def let_others_read(folder):
    """Let every user enter `folder` and read it: pytest closes its temporary folders to others."""
    if os.geteuid() != 0:  # the process runs as this user
        return
    for each in (folder, *folder.parents):
        mode = each.stat().st_mode
        if mode & 0o055 != 0o055:
            each.chmod(mode | 0o055)
