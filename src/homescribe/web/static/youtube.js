// YouTube's player in privacy-enhanced mode, loaded when the reader asks for it. Its script is not loaded:
// this file exchanges the messages that the script would exchange with the frame.
// https://developers.google.com/youtube/iframe_api_reference (playerVars, infoDelivery)

const ORIGIN = "https://www.youtube-nocookie.com";
const PLAYING = 1; // a value of playerState
const GREETING_INTERVAL = 250; // milliseconds between "listening" messages until the player answers

/** A frame in `container` with the interface of an <audio> element, as far as the reader uses it. */
export class YouTube extends EventTarget {
  #frame;
  #time = 0; // seconds, at #updatedAt
  #updatedAt = 0; // performance.now()
  #rate = 1;
  paused = true;
  duration = NaN;

  constructor(container, video, start, title) {
    super();
    const query = new URLSearchParams({ enablejsapi: "1", origin: location.origin, autoplay: "1", playsinline: "1", rel: "0", start: String(Math.floor(start)) });
    this.#time = start;
    this.#frame = document.createElement("iframe");
    this.#frame.title = `Video: ${title}`;
    this.#frame.allow = "autoplay; encrypted-media; fullscreen; picture-in-picture";
    this.#frame.referrerPolicy = "strict-origin-when-cross-origin"; // the player refuses requests without a referrer
    this.#frame.src = `${ORIGIN}/embed/${encodeURIComponent(video)}?${query}`;
    addEventListener("message", (event) => this.#receive(event));
    const greeting = setInterval(() => this.#send({ event: "listening", id: 1 }), GREETING_INTERVAL);
    this.addEventListener("ready", () => clearInterval(greeting), { once: true });
    container.replaceChildren(this.#frame);
  }

  get currentTime() {
    const elapsed = this.paused ? 0 : (performance.now() - this.#updatedAt) / 1000;
    return this.#time + elapsed * this.#rate;
  }

  set currentTime(seconds) {
    this.#setTime(seconds);
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

  #setTime(seconds) {
    this.#time = seconds;
    this.#updatedAt = performance.now();
  }

  #command(func, args = []) {
    this.#send({ event: "command", func, args });
  }

  #send(message) {
    this.#frame.contentWindow?.postMessage(JSON.stringify(message), ORIGIN);
  }

  #receive(event) {
    if (event.origin !== ORIGIN || event.source !== this.#frame.contentWindow) return;
    let message;
    try {
      message = JSON.parse(event.data);
    } catch {
      return; // not a message of this protocol
    }
    const info = message?.info;
    this.dispatchEvent(new Event("ready"));
    if (typeof info !== "object" || info === null) return;
    if (typeof info.currentTime === "number") this.#setTime(info.currentTime);
    if (typeof info.duration === "number" && info.duration > 0 && info.duration !== this.duration) {
      this.duration = info.duration;
      this.dispatchEvent(new Event("durationchange"));
    }
    if (typeof info.playbackRate === "number") this.#rate = info.playbackRate;
    if (typeof info.playerState === "number") {
      const paused = info.playerState !== PLAYING;
      if (paused !== this.paused) {
        this.paused = paused;
        this.#setTime(this.#time);
        this.dispatchEvent(new Event(paused ? "pause" : "play"));
      }
    }
    this.dispatchEvent(new Event("timeupdate"));
  }
}
