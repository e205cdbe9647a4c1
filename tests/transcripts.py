"""Transcripts that several test modules export."""

from homescribe.core import Item, Segment, Transcript, Word

ITEM = Item(
    "youtube",
    "jNQXAC9IVRw",
    "https://www.youtube.com/watch?v=jNQXAC9IVRw",
    "Me at the zoo",
    channel="jawed",
    upload_date="2005-04-24",
)


def transcript(*segments, duration=None):
    end = segments[-1].end if segments else 0.0
    return Transcript("openai-whisper", "tiny.en", "en", duration or end, segments)


def spoken(*texts):
    """A transcript in which each text takes two seconds."""
    return transcript(*(Segment(2.0 * n, 2.0 * n + 2, text) for n, text in enumerate(texts)))


def from_whisper(result):
    """Return the Transcript of a result object of openai-whisper."""
    segments = tuple(
        Segment(
            s["start"],
            s["end"],
            s["text"],
            s["avg_logprob"],
            s["no_speech_prob"],
            s["compression_ratio"],
            s["temperature"],
            tuple(
                Word(w["start"], w["end"], w["word"], w["probability"]) for w in s.get("words", ())
            ),
        )
        for s in result["segments"]
    )
    return Transcript("openai-whisper", "demo", result["language"], 60.0, segments)


# Texts that could break a file format, a terminal or a reader.
HOSTILE = [
    "a < b && c > d",
    "<b>bold</b> <script>alert(1)</script> &lt; &amp;",
    "first --> second",
    "00:01 --> 00:05",
    "a ---> b <!-- c -->",
    "{\\an8}above {\\pos(1,2)}",
    "one line\nand another",
    "one\n\ntwo\n\n\n  \nthree",
    "7\n\n8\n00:00:01,000 --> 00:00:02,000\nforged",
    "carriage\r\nreturn\ralone",
    "NOTE not a note",
    "STYLE",
    "WEBVTT",
    "42",
    "שלום עולם, مرحبا بالعالم",
    "\u202eright to left override\u202c",
    "今天天气很好。你好，世界！",
    "👩‍👩‍👧‍👦 and 🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "nul\x00 bell\x07 escape\x1b[31m c1\x9b31m",
    "vertical\x0btab form\x0cfeed next\x85line",
    "half an emoji \ud83d",
    "u+2028\u2028separator\u2029paragraph",
    "tab\tin between",
    "\ufeffmark",
]
