"""Who speaks when in a recording, by two small networks on a CPU.

The stages, each in a module of its own:

    segmentation   who speaks in each chunk of ten seconds, of up to three people that it cannot name
    embedding      the voice of each of them as a vector
    clustering     which vectors are of one person
    timeline       the turns of each person, from all chunks
    diarizer       all of these over a stream of audio
    voices         whether two recordings have the same voice

Nothing here knows of transcripts' text, engines or the library.
"""
