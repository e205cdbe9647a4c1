"""Captions in the forms that sites send them, made from words: json3 and vtt of YouTube, and srt."""

from __future__ import annotations

import json

LINE = 5  # words


def lines(words, seconds):
    """[(start, end, [(time, word)])] of the lines that have `words`, spoken evenly in `seconds`."""
    times = [number * seconds / len(words) for number in range(len(words) + 1)]
    found = []
    for first in range(0, len(words), LINE):
        last = min(first + LINE, len(words))
        spoken = list(zip(times[first:last], words[first:last], strict=True))
        found.append((times[first], times[last], spoken))
    return found


def milliseconds(seconds):
    return round(seconds * 1000)


def json3(words, seconds, *, automatic):
    """YouTube's json3; automatic captions scroll, and have the times of words."""
    events = []
    if automatic:
        events.append(
            {"tStartMs": 0, "dDurationMs": milliseconds(seconds), "id": 1, "wpWinPosId": 1}
        )
    for start, end, spoken in lines(words, seconds):
        if automatic and len(events) > 1:
            newline = {"tStartMs": milliseconds(start) - 10, "dDurationMs": 1000, "aAppend": 1}
            events.append({**newline, "wWinId": 1, "segs": [{"utf8": "\n"}]})
        segs = [{"utf8": " ".join(word for _, word in spoken)}]
        lasts = end - start
        if automatic:
            segs = [
                {"utf8": word if time == start else f" {word}", "acAsrConf": 0}
                | ({"tOffsetMs": milliseconds(time - start)} if time > start else {})
                for time, word in spoken
            ]
            lasts = 2 * lasts  # until the line has scrolled away
        event = {"tStartMs": milliseconds(start), "dDurationMs": milliseconds(lasts), "segs": segs}
        events.append(event | ({"wWinId": 1} if automatic else {}))
    return json.dumps({"wireMagic": "pb3", "pens": [{}], "events": events})


def clock(seconds):
    minutes, rest = divmod(milliseconds(seconds), 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"


def rolling_vtt(words, seconds, language="en"):
    """YouTube's automatic captions as vtt: two rows, each shown again above the next one."""
    text = f"WEBVTT\nKind: captions\nLanguage: {language}\n\n"
    before = " "
    settings = "align:start position:0%"
    for start, end, spoken in lines(words, seconds):
        first, *others = spoken
        tagged = first[1] + "".join(f"<{clock(time)}><c> {word}</c>" for time, word in others)
        plain = " ".join(word for _, word in spoken)
        text += f"{clock(start)} --> {clock(end - 0.01)} {settings}\n{before}\n{tagged}\n\n"
        text += f"{clock(end - 0.01)} --> {clock(end)} {settings}\n{plain}\n \n\n"
        before = plain
    return text


def srt(words, seconds):
    cues = enumerate(lines(words, seconds), 1)
    return "".join(
        f"{number}\n{clock(start).replace('.', ',')} --> {clock(end).replace('.', ',')}\n"
        f"{' '.join(word for _, word in spoken)}\n\n"
        for number, (start, end, spoken) in cues
    )
