"""Benchmarks. Most modules are programs: `python -m benchmarks.NAME --help`.

engine_speed    the engines and what users would pick instead: time, memory, words wrong
stages          CPU time of each stage, and memory by length of the recording
library_speed   reads and writes of a library with a million segments
web_speed       pages over such a library
plot            a bar chart from engine_speed's output
scaled_model, synthetic_speech    the weights and recordings that these use
"""
