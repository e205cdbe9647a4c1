"""Benchmarks. Most modules are programs: `python -m benchmarks.NAME --help`.

With real weights and recordings:

accuracy        words wrong, passages lost and times, of homescribe and of other tools
engine_speed    time of whole processes, of homescribe and of other tools
speakers        who speaks when: diarization error rate, number of speakers, names, time and memory
conversations   conversations with known turns, made from recordings of one voice each
report          accuracy and speed, as Markdown for docs/benchmarks.md (`make bench-real`)
plot            a bar chart from engine_speed's output
derived_recordings    short clips and slow readers, made from other recordings
weights         the same weights in the formats of all tools
corpus, scoring, accuracy_tables, implementations    what these use

Without:

stages          CPU time of each stage, and memory by length of the recording, with the bundled model
synthetic_speech      the recordings for it
library_speed   reads and writes of a library with a million segments
web_speed       pages over such a library
"""
