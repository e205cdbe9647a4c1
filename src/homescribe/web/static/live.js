// The state of the queue, as it changes. One connection for all parts of a page: see /api/queue/events.

const RECONNECT_DELAY = 3000; // milliseconds

const listeners = [];
const losses = [];
let events = null;
let latest = null;

function connect() {
  events?.close();
  events = new EventSource("/api/queue/events");
  events.addEventListener("queue", (event) => {
    latest = JSON.parse(event.data);
    for (const listener of listeners) listener(latest);
  });
  events.addEventListener("error", () => {
    for (const listener of losses) listener();
    // After some errors, a browser does not reconnect by itself.
    if (events.readyState === EventSource.CLOSED) setTimeout(connect, RECONNECT_DELAY);
  });
}

/** Call `listener` with each snapshot of the queue, and `onLoss` when the connection is lost. */
export function onSnapshot(listener, onLoss) {
  listeners.push(listener);
  if (onLoss) losses.push(onLoss);
  if (latest) listener(latest);
  if (!events && !document.hidden) connect();
}

// A browser opens few connections to one server, so a hidden page closes its own.
document.addEventListener("visibilitychange", () => (document.hidden ? events?.close() : listeners.length && connect()));
