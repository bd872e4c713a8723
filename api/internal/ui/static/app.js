// What the pages do beyond reading: keys, shorter addresses, and a feed that is followed live. Every page works without.
"use strict";

const typing = (el) => el.closest("input, textarea, select, [contenteditable]") !== null;

// Keys: "/" searches, "g" and a letter goes to a page, "?" tells about the keys.
const places = { o: "/", h: "/hosts", c: "/changes", s: "/schedules", a: "/me" };
let going = 0; // until when the letter after "g" is awaited

document.addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey || typing(e.target)) return;
  const help = document.getElementById("keys");
  if (!help || help.open) return;
  if (going > Date.now() && Object.hasOwn(places, e.key)) {
    e.preventDefault();
    location.assign(places[e.key]);
    return;
  }
  going = e.key === "g" ? Date.now() + 1500 : 0;
  if (e.key === "?") {
    e.preventDefault();
    help.showModal();
  } else if (e.key === "/") {
    const field = document.querySelector("[data-search]");
    if (!field) return;
    e.preventDefault();
    field.focus();
    field.select();
  }
});

// A form that reads leaves empty fields out of the address.
document.addEventListener("submit", (e) => {
  if (e.target.method !== "get") return;
  const empty = [...e.target.elements].filter((el) => el.name && el.value === "" && !el.disabled);
  for (const el of empty) el.disabled = true;
  setTimeout(() => { for (const el of empty) el.disabled = false; });
});

// Following the feed: what comes is put on top, as text and never as markup.
const kept = 300; // rows at most
const make = (name, cls, text) => {
  const el = document.createElement(name);
  if (cls) el.className = cls;
  if (text !== undefined) el.textContent = text;
  return el;
};
const anchor = (href, cls, text) => {
  const a = make("a", cls, text);
  a.href = href;
  return a;
};
const query = (values) => new URLSearchParams(values).toString();

// shown returns a JSON value in one line, and whether it was cut.
const shown = (v) => {
  if (v === null) return "unknown";
  if (v === true) return "yes";
  if (v === false) return "no";
  if (v === "") return "empty";
  if (Array.isArray(v)) return v.length ? v.join(", ") : "none";
  if (typeof v === "object") {
    return Object.keys(v).sort().filter((k) => v[k] !== null)
      .map((k) => k + ": " + (typeof v[k] === "object" && !Array.isArray(v[k]) ? JSON.stringify(v[k]) : shown(v[k]))).join(", ") || "nothing known";
  }
  return String(v);
};
const value = (v) => {
  const text = shown(v);
  const line = /^[0-9a-f]{40,}$/.test(text) ? 12 : 90; // of a digest the beginning tells enough
  if (text.length <= line) return make("span", "v", text);
  const fold = make("details", "fold");
  const full = v !== null && typeof v === "object" && !Array.isArray(v) ? JSON.stringify(v, null, 2) : text;
  fold.append(make("summary", "", text.slice(0, line) + "…"), make("pre", "", full.slice(0, 4000)));
  return fold;
};

// turned returns the parts of a change: of two lists what is new and what is gone, else both values.
const turned = (c) => {
  if (c.kind === "added") return [value(c.after)];
  if (c.kind === "removed") return [value(c.before)];
  if (Array.isArray(c.before) && Array.isArray(c.after)) {
    const gained = c.after.filter((v) => !c.before.includes(v)), lost = c.before.filter((v) => !c.after.includes(v));
    const parts = [];
    if (gained.length) parts.push("now also ", value(gained), " ");
    if (lost.length) parts.push("no longer ", value(lost));
    if (parts.length) return parts;
  }
  const arrow = make("span", "arrow", "→");
  arrow.setAttribute("aria-label", "to");
  return [value(c.before), " ", arrow, " ", value(c.after)];
};

const ago = (from) => {
  const s = Math.floor((Date.now() - from) / 1000);
  if (s < 2) return "just now";
  if (s < 120) return s + " s ago";
  if (s < 7200) return Math.floor(s / 60) + " min ago";
  return Math.floor(s / 3600) + " h ago";
};

const row = (c) => {
  const host = "/hosts/" + encodeURIComponent(c.host_id);
  const time = make("time", "", ago(new Date(c.seen_at)));
  time.dateTime = c.seen_at;
  time.title = c.seen_at.replace("T", " ").replace(/(\.\d+)?Z$/, " UTC");
  const when = make("span", "time");
  when.append(time);
  const path = anchor(host + "/history?" + query({ type: c.type, path: c.path }), "path");
  path.append(make("code", "", c.path));
  const what = make("div", "what");
  what.append(when, " ", anchor(host + "?" + query({ type: c.type, as_of: c.seen_at }), "host", c.host), " ", make("span", "type", c.type), " ", path);

  const delta = make("div", "delta");
  delta.append(make("span", "kind " + (["added", "removed"].includes(c.kind) ? c.kind : "changed"), c.kind), " ");
  delta.append(...turned(c));

  const where = make("div", "where");
  where.append(c.before_report_id
    ? anchor("/reports/" + encodeURIComponent(c.before_report_id) + "/diff?" + query({ to: c.after_report_id }), "", "both reports")
    : anchor("/reports/" + encodeURIComponent(c.after_report_id), "", "its report"));

  const li = make("li", "fresh");
  li.append(what, delta, where);
  return li;
};

const live = document.querySelector("[data-events]");
if (live && window.EventSource) {
  const button = live.querySelector("button"), status = live.querySelector("[role=status]"), feed = document.getElementById("feed");
  let source = null, seen = 0;
  const stop = (text) => {
    if (source) source.close();
    source = null;
    button.setAttribute("aria-pressed", "false");
    button.textContent = "Follow live";
    status.textContent = text;
  };
  const start = () => {
    source = new EventSource(live.dataset.events);
    button.setAttribute("aria-pressed", "true");
    button.textContent = "Following; stop";
    status.textContent = "connecting …";
    source.onopen = () => { status.textContent = seen ? seen + " new" : "waiting for the next change"; };
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) stop("The stream ended. Sign in again if it does not start.");
      else status.textContent = "the connection is lost, trying again …";
    };
    source.addEventListener("change", (e) => {
      let c;
      try { c = JSON.parse(e.data); } catch { return; }
      feed.prepend(row(c));
      while (feed.children.length > kept) feed.lastElementChild.remove();
      document.querySelector(".none")?.remove();
      status.textContent = ++seen + " new";
    });
  };
  button.addEventListener("click", () => { if (source) stop(seen ? "stopped after " + seen + " new" : ""); else start(); });
  // The times of a feed that is followed do not stand still.
  setInterval(() => {
    if (source) for (const t of feed.querySelectorAll(".time time")) t.textContent = ago(new Date(t.dateTime));
  }, 10000);
  addEventListener("pagehide", () => { if (source) source.close(); });
  live.hidden = false;
}

// The token of a one-time link stands behind the # of the address. It goes into the form, and out of the history.
const token = document.querySelector("input[data-from-address]");
if (token && location.hash.length > 1) {
  token.value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
}

// What is shown once is copied with a button; where the page may not write to the clipboard, it is selected.
for (const button of document.querySelectorAll("button[data-copy]")) {
  const from = document.getElementById(button.dataset.copy);
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(from.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(from);
      button.textContent = "Selected: copy it with the keys";
    }
  });
}
