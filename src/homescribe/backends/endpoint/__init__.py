"""Transcribe at a service that has OpenAI's transcription endpoint: OpenAI, Groq, or a server of your own."""
