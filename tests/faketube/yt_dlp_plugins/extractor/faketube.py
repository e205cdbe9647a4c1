"""A fake YouTube: a yt-dlp plug-in that replaces the extractors for youtube.com.

It replaces the extractors of videos and of channels, tabs and playlists; everything else is yt-dlp's own
(choice of format, downloader, errors). It also works in child processes: put `tests/faketube` on PYTHONPATH
and the path of a settings file into FAKETUBE. `tests/fake_youtube.py` writes and documents that file. It is
read for every request, so that a test can change the state while a child process runs.

The messages are those of YouTube and yt-dlp, from the source and the issues of yt-dlp.
"""

import json
import os
import sys
import time
import urllib.parse
from pathlib import Path

from yt_dlp.extractor.common import InfoExtractor
from yt_dlp.extractor.youtube import YoutubeIE, YoutubeTabIE
from yt_dlp.utils import ExtractorError, UserNotLive

from homescribe.sources import private_networks

PAGE = 30  # entries on a page of a channel's tab
CHANNEL = "UCfakefakefakefakefake00"

REASONS = {
    "bot": "Sign in to confirm you’re not a bot. Use --cookies-from-browser or --cookies for the "
    "authentication. See  https://github.com/yt-dlp/yt-dlp/wiki/FAQ#how-do-i-pass-cookies-to-yt-dlp  "
    "for how to manually pass cookies",
    "captcha": "Video unavailable. YouTube is requiring a captcha challenge before playback",
    "ip": "Video unavailable. Your IP is likely being blocked by YouTube",
    "ratelimit": "Video unavailable. This content isn't available, try again later. The current session has "
    "been rate-limited by YouTube for up to an hour. It is recommended to use `-t sleep` to add a delay "
    "between video requests to avoid exceeding the rate limit.",
    "upcoming": "This live event will begin in 3 hours.",
    "premiere": "Premieres in 20 hours",
    "private": "Private video. Sign in if you've been granted access to this video. "
    "Use --cookies-from-browser or --cookies for the authentication.",
    "deleted": "Video unavailable. This video has been removed by the uploader",
    "terminated": "Video unavailable. This video is no longer available because the YouTube account "
    "associated with this video has been terminated.",
    "members": "Join this channel to get access to members-only content like this video, "
    "and other exclusive perks.",
    "age": "Sign in to confirm your age. This video may be inappropriate for some users. "
    "Use --cookies-from-browser or --cookies for the authentication.",
    "drm": "This video is DRM protected",
    "live_offline": "This live stream recording is not available.",
}
LIVE = {
    "upcoming": "is_upcoming",
    "premiere": "is_upcoming",
    "live": "is_live",
    "post_live": "post_live",
}


REALLY_PRIVATE = private_networks.is_private
# The server of a test stands for the internet.
private_networks.is_private = lambda one: one != "127.0.0.1" and REALLY_PRIVATE(one)


def settings():
    return json.loads(Path(os.environ["FAKETUBE"]).read_text())


def note(world, *words):
    """Write a request into the log beside the settings, so that a test can count requests."""
    with Path(world["log"]).open("a") as log:
        log.write(" ".join(map(str, words)) + "\n")


class FakeYoutubeIE(YoutubeIE, plugin_name="faketube"):
    def _real_extract(self, url):
        world = settings()
        name = self._match_id(url)
        scenario = world["scenarios"].get(name, "")
        note(world, "video", name)
        if scenario in REASONS:  # as the real extractor does
            self.raise_no_formats(REASONS[scenario], expected=True)
        if scenario == "geo":
            self.raise_geo_restricted(
                "The uploader has not made this video available in your country",
                ["US", "CA"],
                metadata_available=True,
            )
        if scenario == "bug":
            raise KeyError("x")
        if scenario == "hang":
            time.sleep(1000)
        if scenario == "die":
            sys.stderr.write("RuntimeError: the interpreter gave up\n")
            sys.stderr.flush()
            os._exit(7)
        if scenario.isdigit():  # the status of the page
            self._download_webpage(f"{world['base']}/status/{scenario}", name)
        number = int(name[4:])
        return {
            "id": name,
            "title": world["titles"].get(name, f"Fake video {number}"),
            "formats": self._fake_formats(world, scenario, number),
            "duration": world["durations"][number % len(world["durations"])],
            "channel": "Fake Channel",
            "channel_id": CHANNEL,
            "uploader": "Fake Channel",
            "uploader_id": "@fake",
            "upload_date": f"2026{number % 12 + 1:02d}{number % 28 + 1:02d}",
            "description": f"About video {number}",
            "chapters": [
                {"start_time": 0, "end_time": 3, "title": "Intro"},
                {"start_time": 3, "end_time": 6, "title": "Body"},
            ],
            "live_status": LIVE.get(scenario, "not_live"),
            "release_timestamp": world["release"] if LIVE.get(scenario) == "is_upcoming" else None,
            "availability": "public",
            **self._fake_captions(world, scenario, number),
        }

    def _fake_captions(self, world, scenario, number):
        """Tracks as YouTube's extractor returns them, with machine translations and the chat of viewers."""
        name = f"FAKE{number:07d}"
        tracks = world["captions"].get(name, world["captions"].get("*", "")).split()
        query = {"v": name, "seconds": world["durations"][number % len(world["durations"])]}
        what = scenario.removeprefix("captions-") if scenario.startswith("captions-") else ""
        base = world["base"]
        if (
            what == "token"
        ):  # as the real extractor does, which warns only where captions are wanted
            self._report_pot_subtitles_skipped(name, True, "A PO token was not provided")
            return {}
        if what == "empty":
            query["empty"] = 1
        elif what == "private":
            base = base.replace("127.0.0.1", "127.0.0.2")
        elif what:
            query |= {"fail": what.removeprefix("once"), "times": 1 if "once" in what else 1000}

        def files(language, **more):
            words = world["words"][number % len(world["words"])]
            said = words if language == "en" else f"{language} {words}"
            options = {**query, "words": said, "lang": language, **more}
            return [
                {
                    "ext": kind,
                    "url": f"{base}/captions?{urllib.parse.urlencode({**options, 'fmt': kind})}",
                    "name": language,
                    "impersonate": True,
                }
                for kind in ("json3", "srv1", "srt", "vtt")
            ]

        chat = {"live_chat": [{"ext": "json", "url": f"{world['base']}/chat"}]}
        manual, automatic = {}, {}
        for track in tracks:
            kind, _, language = track.partition(":")
            if kind == "manual":
                manual[language] = files(language)
            else:
                automatic[f"{language}-orig"] = files(language, kind="asr")
                automatic[language] = files(language, kind="asr")
                for other in ("de", "fr"):
                    automatic.setdefault(other, files(other, kind="asr", tlang=other))
        return {"subtitles": manual | chat, "automatic_captions": automatic} if tracks else {}

    def _fake_formats(self, world, scenario, number):
        """YouTube's usual formats and itags, with an automatic dub."""
        if scenario in LIVE and scenario != "live":
            return []
        clip = world["clips"][number % len(world["clips"])]
        query = {
            "403": "?fail=403",
            "once403": f"?fail=403&times=1&id={number}",
            "cut": f"?die_after=3000&times=1&id={number}",
            "slow": f"?bps=2000&id={number}",
        }.get(scenario.removeprefix("media-"), "")
        clip = {"media-short": "short", "media-junk": "junk"}.get(scenario, clip)

        def media(extension, name=clip):
            return f"{world['base']}/media/{name}.{extension}{query}"

        def audio(itag, extension, codec, abr, quality, **more):
            return {
                "format_id": itag,
                "url": media(extension, **more.pop("clip", {})),
                "ext": extension,
                "acodec": codec,
                "vcodec": "none",
                "abr": abr,
                "audio_channels": 2,
                "container": f"{extension}_dash",
                "language": "en",
                "language_preference": 10,
                "quality": quality,
                "downloader_options": {"http_chunk_size": 10 << 20},
                **more,
            }

        dub = {
            "language": "es",
            "language_preference": -1,
            "format_note": "dubbed-auto",
            "clip": {"name": "dub"},
        }
        formats = [
            audio("139", "m4a", "mp4a.40.5", 48.8, 1, asr=22050),
            audio("249", "webm", "opus", 50, 1, asr=48000),
            audio("140", "m4a", "mp4a.40.2", 129.5, 2, asr=44100),
            audio("251", "webm", "opus", 130, 2, asr=48000),
            audio("139-dub", "m4a", "mp4a.40.5", 48.0, 1, **dub),
            audio("249-dub", "webm", "opus", 40.0, 1, **dub),
            {
                "format_id": "18",
                "url": media("m4a"),
                "ext": "mp4",
                "acodec": "mp4a.40.2",
                "vcodec": "avc1",
                "abr": 96,
                "tbr": 300,
                "width": 320,
                "height": 180,
                "quality": 7,
            },
        ]
        return formats[-1:] if scenario == "only-video" else formats


class FakeSiteIE(InfoExtractor):
    """A site whose captions are looked for only if they are wanted, as by most extractors."""

    _VALID_URL = r"https?://fakesite\.example/(?P<id>\w+)"

    def _real_extract(self, url):
        world = settings()
        name = self._match_id(url)
        note(world, "site", name)
        return {
            "id": name,
            "title": "Talk",
            "language": "de",
            "url": f"{world['base']}/media/ep1.mp3",
            "subtitles": self.extract_subtitles(world),
            "automatic_captions": self.extract_automatic_captions(world),
        }

    def _get_subtitles(self, world):
        note(world, "subtitles")
        return {"en": [{"ext": "srt", "data": "1\n00:01 --> 00:02\nGood day."}]}

    def _get_automatic_captions(self, world):
        note(world, "automatic")
        return {"de": [{"ext": "srt", "data": "1\n00:01 --> 00:02\nGuten Tag."}]}


class FakeYoutubeTabIE(YoutubeTabIE, plugin_name="faketube"):
    def _real_extract(self, url):
        world = settings()
        parts = self._get_url_mobj(url)
        if parts["not_channel"]:
            query = {
                k: v[0] for k, v in urllib.parse.parse_qs(urllib.parse.urlsplit(url).query).items()
            }
            if not self._yes_playlist(query.get("list"), query.get("v")):
                return self.url_result(
                    f"https://www.youtube.com/watch?v={query['v']}", YoutubeIE, query["v"]
                )
            return self._fake_playlist(world, query["list"])
        tab = parts["tab"][1:]
        if "gone" in parts["id"]:
            self._download_webpage(f"{world['base']}/status/404", parts["id"])
        if tab == "playlists":
            return self._fake_result(
                parts["id"],
                "Playlists",
                (
                    self.url_result(f"https://www.youtube.com/playlist?list={p}", YoutubeTabIE, p)
                    for p in world["playlists"]
                ),
                url,
            )
        if tab == "live":
            raise UserNotLive(video_id=parts["id"])
        if tab and not world["tabs"].get(tab):
            raise ExtractorError(f"This channel does not have a {tab} tab", expected=True)
        # As the real extractor does: without a tab in the address, all tabs in one playlist.
        tabs = (
            [tab]
            if tab
            else [name for name in ("videos", "streams", "shorts") if world["tabs"].get(name)]
        )
        found = []
        for name in tabs:
            entries = self._fake_entries(world, name)
            address = f"{parts['pre']}/{name}{parts['post']}"
            found.append(self._fake_result(CHANNEL, name.title(), entries, address))
        if not found:
            return self._fake_result(CHANNEL, "", [], url)
        if len(found) == 1:
            return found[0]
        names = {"channel": "Fake Channel", "channel_id": CHANNEL}
        return self.playlist_result(found, CHANNEL, "Fake Channel", **names)

    def _fake_result(self, name, title, entries, url):
        return self.playlist_result(
            entries,
            name,
            f"Fake Channel - {title}",
            channel="Fake Channel",
            channel_id=CHANNEL,
            uploader_id="@fake",
            webpage_url=url,
            extractor_key=YoutubeTabIE.ie_key(),
            extractor=YoutubeTabIE.IE_NAME,
        )

    def _fake_playlist(self, world, name):
        if name not in world["playlists"]:
            raise ExtractorError("YouTube said: The playlist does not exist.", expected=True)
        return self._fake_result(
            name,
            name,
            (
                self._fake_entry(world, one, channel="Fake Channel", channel_id=CHANNEL)
                for one in world["playlists"][name]
            ),
            f"https://www.youtube.com/playlist?list={name}",
        )

    def _fake_entries(self, world, tab):
        """Newest first, a page at a time."""
        prefix = {"videos": "FAKE", "streams": "LIVE", "shorts": "SHRT"}[tab]
        count = world["tabs"][tab]
        for start in range(0, count, PAGE):
            note(world, "page", tab, start // PAGE + 1)
            if world["fail_page"] == start // PAGE + 1:
                self._download_webpage(f"{world['base']}/status/{world['fail_status']}", tab)
            time.sleep(world["page_delay"])
            for number in range(count - start, max(0, count - start - PAGE), -1):
                yield self._fake_entry(world, f"{prefix}{number:07d}")

    def _fake_entry(self, world, name, **channel):
        """An entry of a list. On a channel's own pages it lacks the name of the channel."""
        number = int(name[4:])
        scenario = world["scenarios"].get(name)
        return self.url_result(
            f"https://www.youtube.com/watch?v={name}",
            YoutubeIE,
            name,
            world["titles"].get(name, f"Fake video {number}"),
            duration=None
            if scenario in LIVE
            else world["durations"][number % len(world["durations"])],
            live_status=LIVE.get(scenario),
            availability="subscriber_only" if scenario == "members" else None,
            **channel,
        )
