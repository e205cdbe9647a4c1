"""Engines: implementations of Whisper behind one protocol (core.Engine)."""
