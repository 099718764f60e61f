// Links, keys and copying. Whatever the viewer shows follows from the address: a link or a key changes the address and
// asks the server (viewer.py) for what belongs to it; nothing is kept here but the labeller's name.
(() => {
  "use strict";
  const PATIENCE_MS = 10000; // after that a question counts as lost
  const MOST_QUEUED = 20;
  let numAsked = 0;
  let askView = null; // set by the bridges in viewer.py as soon as they are on the page
  let askLabel = null;
  // One question at a time, so that no answer comes late and stands on the page in place of a newer one.
  let inFlight = null; // {number, timer}
  let isBehind = false; // the address has changed meanwhile: its view is asked for next
  let queued = []; // {name, row}: keys pressed meanwhile, and which row was on the page
  let shownView = null;

  const find = (selector) => document.querySelector(selector);
  const isTyping = (target) => target.closest?.("input, textarea, select, [contenteditable=true]") != null;
  const labeller = () => find("#labeller")?.value ?? localStorage.getItem("labeller") ?? "";
  const rowToLabel = () => find("[data-row]")?.dataset.row;

  function send(how, asked) {
    numAsked += 1;
    inFlight = { number: numAsked, timer: setTimeout(giveUp, PATIENCE_MS) };
    how({ ...asked, query: location.search, labeller: labeller(), number: numAsked });
  }

  function show() {
    if (inFlight) isBehind = true;
    else if (askView) send(askView, { is_wide: innerWidth > 1000 });
  }

  function catchUp() {
    if (!isBehind) return false;
    isBehind = false;
    show();
    return true;
  }

  function giveUp() {
    document.body.dataset.silent = ""; // viewer.css says so
    inFlight = null;
    queued = [];
    catchUp();
  }

  function queue(name) {
    if (queued.length < MOST_QUEUED) queued.push({ name, row: rowToLabel() });
  }

  // A move means the page that was not there yet; a label only ever the row that was there when its key was pressed.
  function pressQueued() {
    while (queued.length && !inFlight) {
      const { name, row } = queued.shift();
      if (!name.startsWith("label-") || row === rowToLabel()) press(name);
    }
  }

  function go(query) {
    if (query !== location.search) history.pushState(null, "", query || location.pathname);
    show();
  }

  window.viewer = {
    // The bridge tells how to ask, and then what the server has shown: {query, number}, number 0 when a control asked.
    connect(trigger) {
      askView = trigger;
      show();
    },
    connectLabels(trigger) {
      askLabel = trigger;
    },
    shown(answer) {
      const { query, number, title } = JSON.parse(answer);
      delete document.body.dataset.silent;
      if (number && number === inFlight?.number) {
        clearTimeout(inFlight.timer);
        inFlight = null;
      } else if (number && number < numAsked) {
        isBehind = true; // it was given up as lost, and now stands where something newer was
      } else if (inFlight) {
        isBehind = true; // a control was quicker, and an older answer will soon stand where its own is now
        history.pushState(null, "", query || location.pathname);
      }
      if (inFlight || catchUp()) return;
      if (query !== location.search) {
        const change = number ? "replaceState" : "pushState";
        history[change](null, "", query || location.pathname);
      }
      document.title = title;
      document.body.dataset.shown = query;
      requestAnimationFrame(afterShown);
      setTimeout(() => {
        // What the answer changed on the page is there by now.
        const view = `${query} ${rowToLabel()}`;
        if (view !== shownView) forget();
        shownView = view;
        pressQueued();
      });
    },
  };

  // Gradio keeps the elements of the view before and changes what is in them, but not what a person did to them.
  function forget() {
    for (const box of document.querySelectorAll("#main [tabindex]")) box.scrollTop = 0;
    const note = find("#note");
    if (note) note.value = note.defaultValue;
    settlesUntil = performance.now() + 1000;
    readFromTheBeginning();
    const box = find(".vp-pane-read");
    fitLabelling();
    // The arrows then scroll what is read; but nobody is taken out of a field.
    if (box && !isTyping(document.activeElement)) box.focus({ preventScroll: true });
  }

  // What arrives late in a row, such as its frames, would scroll its beginning out of sight.
  let settlesUntil = 0;
  let heightBefore = 0;
  function readFromTheBeginning() {
    const main = find("#main");
    if (main.getBoundingClientRect().top < 0) main.scrollIntoView();
    heightBefore = document.body.scrollHeight;
  }
  addEventListener("scroll", () => {
    const isLate = document.body.scrollHeight !== heightBefore && performance.now() < settlesUntil;
    if (isLate && !find(".viewer-labelling")) readFromTheBeginning();
  });

  // While a trace is labelled its question, its observation and the answers are on the screen together: below the head
  // of the page where there is room, else by themselves. Each of the two texts scrolls.
  function fitLabelling() {
    const desk = find(".viewer-labelling");
    if (!desk) return;
    const room = innerHeight - (desk.getBoundingClientRect().top + scrollY);
    const isRoomy = room >= Math.min(480, innerHeight * 0.55);
    desk.style.height = `${isRoomy ? room : innerHeight}px`;
    if (!isRoomy && labeller()) desk.scrollIntoView();
  }

  // Like scrollIntoView of the nearest edge, but the page itself stays where it is.
  function scrollWithin(box, element) {
    if (!box || !element) return;
    const [outer, inner] = [box, element].map((each) => each.getBoundingClientRect());
    const by = (start, end, last) => Math.min(start, 0) || Math.max(Math.min(end, last), 0);
    box.scrollLeft += by(inner.left - outer.left, inner.right - outer.right, inner.left - outer.left);
    const bottom = Math.min(outer.bottom, innerHeight);
    box.scrollTop += by(inner.top - outer.top, inner.bottom - bottom, inner.top - outer.top);
  }

  function afterShown() {
    scrollWithin(find(".viewer-tabs"), find(".viewer-tabs [aria-current=page]"));
    scrollWithin(find("#list"), find(".row-link[aria-current=true]"));
    for (const place of document.querySelectorAll("[data-fetch]")) {
      const address = place.dataset.fetch;
      delete place.dataset.fetch;
      fetchInto(place, address);
    }
    const name = find("#labeller");
    if (name && !name.value) name.value = localStorage.getItem("labeller") ?? "";
    fitLabelling();
  }

  window.addEventListener("resize", fitLabelling);

  // What takes a while to make comes after the page: the frames of a video, the agreement of all labels.
  async function fetchInto(place, address) {
    place.awaited = address; // the element may be another view's when the answer comes
    let html, fault;
    try {
      const response = await fetch(address);
      if (!response.ok) throw new Error(await response.text());
      html = (await response.json()).html; // escaped by the server (markup.py)
    } catch (error) {
      fault = error.message;
    }
    if (place.awaited !== address) return;
    if (fault === undefined) place.innerHTML = html;
    else place.textContent = fault;
    const video = find("#main video");
    const first = place.querySelector("img");
    if (video && first && !video.poster) video.poster = first.src;
  }

  document.addEventListener(
    "toggle",
    (event) => {
      const address = event.target.dataset?.fetchOpen;
      if (address && event.target.open) fetchInto(event.target.querySelector(".viewer-fetched"), address);
    },
    true,
  );

  document.addEventListener(
    "error",
    (event) => {
      const player = event.target.closest?.(".viewer-player");
      if (player) player.textContent = "This browser cannot play the file; its frames are shown below.";
    },
    true,
  );

  function press(name) {
    const link = find(`[data-key="${name}"]`);
    link?.click();
    return link != null;
  }

  const KEYS = {
    j: "next-row",
    ArrowRight: "next-row",
    k: "previous-row",
    ArrowLeft: "previous-row",
    n: "next-page",
    p: "previous-page",
    1: "label-1",
    2: "label-2",
    3: "label-3",
    u: "undo",
  };

  const MOVES = new Set(["next-row", "previous-row", "next-page", "previous-page"]);

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.key === "Escape") {
      find("dialog[open]")?.close();
      if (isTyping(event.target)) event.target.blur();
      return;
    }
    if (isTyping(event.target) || find("dialog[open]")) return;
    const name = KEYS[event.key];
    if (event.key === "/") {
      const search = find("#search textarea, #search input");
      if (search) {
        event.preventDefault();
        search.focus();
        search.select();
      }
    } else if (event.key === "?") {
      find("#help")?.showModal();
    } else if (event.target.closest?.("video") && event.key.startsWith("Arrow")) {
      return; // seek
    } else if (event.repeat && !MOVES.has(name)) {
      return; // a key held down labels one row, not all
    } else if (name && (inFlight || queued.length)) {
      event.preventDefault();
      queue(name);
    } else if (name && press(name)) {
      event.preventDefault();
    }
  });

  document.addEventListener("click", async (event) => {
    const link = event.target.closest?.("a[data-go]");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
      event.preventDefault();
      if (event.isTrusted) queued = []; // a click is not one of the keys
      go(link.getAttribute("href"));
      return;
    }
    const button = event.target.closest?.("button");
    if (!button) return;
    if (button.dataset.copy !== undefined) copy(button);
    else if (button.dataset.seek !== undefined) seek(Number(button.dataset.seek) + Number(button.dataset.into));
    else if (button.dataset.label !== undefined) label(button);
    else if (button.dataset.help !== undefined) find("#help")?.showModal();
  });

  document.addEventListener("submit", (event) => {
    const form = event.target.closest?.("form[data-go]");
    if (!form) return;
    event.preventDefault();
    go("?" + new URLSearchParams(new FormData(form)));
  });

  document.addEventListener("change", (event) => {
    if (event.target.id === "labeller") {
      localStorage.setItem("labeller", event.target.value);
      show();
    }
  });

  // The next key is to be a label, not a letter of the name.
  document.addEventListener("keydown", (event) => {
    if (event.target.id === "labeller" && event.key === "Enter") event.target.blur();
  });

  window.addEventListener("popstate", () => show());

  function label(button) {
    if (inFlight) return queue(button.dataset.key);
    const { row, observation } = button.closest("[data-row]")?.dataset ?? {};
    if (askLabel) send(askLabel, { label: button.dataset.label, row, observation, note: find("#note")?.value ?? "" });
  }

  function seek(seconds) {
    const video = find("#main video");
    if (!video) return;
    video.pause();
    video.currentTime = seconds;
    video.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }

  // data-copy: a view of the viewer, which is copied as a link; or an address whose answer is copied.
  async function copy(button) {
    if (button.disabled) return;
    button.disabled = true; // it says how it went, and then what it said before
    const what = button.dataset.copy;
    let said = "copied";
    try {
      const text = what.startsWith("?") ? new URL(what, location.href).href : await (await fetch(what)).text();
      await write(text);
    } catch (error) {
      said = "not copied: " + error.message;
    }
    const before = button.textContent;
    button.textContent = said;
    setTimeout(() => {
      button.textContent = before;
      button.disabled = false;
    }, 1200);
  }

  async function write(text) {
    if (navigator.clipboard && window.isSecureContext) {
      try {
        return await navigator.clipboard.writeText(text);
      } catch {
        // A frame on another site may not have the right; the old way needs none.
      }
    }
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    if (!done) throw new Error("the browser refuses");
  }
})();
