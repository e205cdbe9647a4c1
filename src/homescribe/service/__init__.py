"""`homescribe sync` every night, run by the system: systemd on Linux, launchd on macOS."""
