// Whether this page may change the library, before it is painted: "write", "no-token" or "no-storage" in
// <html data-access>. The style sheet hides what cannot be done. Not a module: modules run after the first paint.

{
  const root = document.documentElement;
  const stored = (name) => {
    try {
      return localStorage.getItem(name);
    } catch {
      return null; // the browser allows no storage
    }
  };

  /** Keep the token of an address that ends with #token=..., and take it out of the address. */
  const takeToken = () => {
    const given = location.hash.match(/^#token=(.+)$/);
    if (!given) return false;
    localStorage.setItem("token", decodeURIComponent(given[1]));
    history.replaceState(history.state, "", location.pathname + location.search);
    return true;
  };

  takeToken();
  if (root.dataset.access === "unknown") root.dataset.access = stored("token") === null ? "no-token" : "write";
  // The token was typed behind the address of a page that is open.
  addEventListener("hashchange", () => takeToken() && location.reload());
}
