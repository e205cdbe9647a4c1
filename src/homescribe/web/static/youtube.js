// YouTube's player in its privacy-enhanced form, made when the reader asks for it. Its script is not loaded:
// the frame is spoken to by the messages that script would send.
// https://developers.google.com/youtube/iframe_api_reference (playerVars, infoDelivery)

const PLACE = "https://www.youtube-nocookie.com";
const PLAYING = 1;
const HELLO = 250; // milliseconds between greetings until the player answers

/** The same few things that an <audio> element does, for a frame put into `stage`. */
export class YouTube extends EventTarget {
  #frame;
  #time = 0;
  #told = 0;
  #rate = 1;
  paused = true;
  duration = NaN;

  constructor(stage, video, start, title) {
    super();
    const query = new URLSearchParams({ enablejsapi: "1", origin: location.origin, autoplay: "1", playsinline: "1", rel: "0", start: String(Math.floor(start)) });
    this.#time = start;
    this.#frame = document.createElement("iframe");
    this.#frame.title = `Video: ${title}`;
    this.#frame.allow = "autoplay; encrypted-media; fullscreen; picture-in-picture";
    this.#frame.referrerPolicy = "strict-origin-when-cross-origin"; // it plays for nobody without one
    this.#frame.src = `${PLACE}/embed/${encodeURIComponent(video)}?${query}`;
    addEventListener("message", (event) => this.#hear(event));
    const greeting = setInterval(() => this.#send({ event: "listening", id: 1 }), HELLO);
    this.addEventListener("ready", () => clearInterval(greeting), { once: true });
    stage.replaceChildren(this.#frame);
  }

  get currentTime() {
    const since = this.paused ? 0 : (performance.now() - this.#told) / 1000;
    return this.#time + since * this.#rate;
  }

  set currentTime(seconds) {
    this.#set(seconds);
    this.#command("seekTo", [seconds, true]);
    this.dispatchEvent(new Event("timeupdate"));
  }

  set playbackRate(rate) {
    this.#rate = rate;
    this.#command("setPlaybackRate", [rate]);
  }

  async play() {
    this.#command("playVideo");
  }

  pause() {
    this.#command("pauseVideo");
  }

  #set(seconds) {
    this.#time = seconds;
    this.#told = performance.now();
  }

  #command(func, args = []) {
    this.#send({ event: "command", func, args });
  }

  #send(message) {
    this.#frame.contentWindow?.postMessage(JSON.stringify(message), PLACE);
  }

  #hear(event) {
    if (event.origin !== PLACE || event.source !== this.#frame.contentWindow) return;
    let message;
    try {
      message = JSON.parse(event.data);
    } catch {
      return; // not of this protocol
    }
    const info = message?.info;
    this.dispatchEvent(new Event("ready"));
    if (typeof info !== "object" || info === null) return;
    if (typeof info.currentTime === "number") this.#set(info.currentTime);
    if (typeof info.duration === "number" && info.duration > 0 && info.duration !== this.duration) {
      this.duration = info.duration;
      this.dispatchEvent(new Event("durationchange"));
    }
    if (typeof info.playbackRate === "number") this.#rate = info.playbackRate;
    if (typeof info.playerState === "number") {
      const paused = info.playerState !== PLAYING;
      if (paused !== this.paused) {
        this.paused = paused;
        this.#set(this.#time);
        this.dispatchEvent(new Event(paused ? "pause" : "play"));
      }
    }
    this.dispatchEvent(new Event("timeupdate"));
  }
}
