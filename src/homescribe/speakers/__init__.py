"""Who speaks when in a recording, by two small networks on a CPU.

The stages, each in a module of its own:

    segmentation   who speaks in each chunk of ten seconds, of up to three people that it cannot name
    embedding      the voice of each of them as a vector
    shared_directions  what the vectors of all voices share, which is removed
    clustering     which vectors are of one person
    timeline       the turns of each person, from all chunks
    diarizer       all of these over a stream of audio
    voices         whether two recordings have the same voice

Of a run with speakers:

    speaker_setting   "auto", "2", "2-4", "channels"
    speaker_models    the two networks: files of the user, or downloaded once
    speaker_finder    both networks, loaded once, for recordings of all threads
    speaker_engine    an engine with a finder beside it
    two_channels      interviews with a person on each channel
    channel_levels    whose speech is on which channel
    assignment        the speaker of each word, segments split where the speaker changes

Nothing here knows of an engine in particular, or of the library.
"""
