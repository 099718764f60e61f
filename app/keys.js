// Links, keys and copying. Whatever the viewer shows follows from the address: a link or a key changes the address and
// asks the server (viewer.py) for what belongs to it; nothing is kept here but the labeller's name.
(() => {
  "use strict";
  let numAsked = 0;
  let numShown = 0;
  let askAgain = null;
  let ask = null; // set by the bridge in viewer.py as soon as it is on the page
  let saveLabel = null;

  const find = (selector) => document.querySelector(selector);
  const isTyping = (target) => target.closest?.("input, textarea, select, [contenteditable=true]") != null;
  const labeller = () => find("#labeller")?.value ?? localStorage.getItem("labeller") ?? "";

  function show(query) {
    numAsked += 1;
    document.body.dataset.asked = numAsked;
    ask?.({ query, labeller: labeller(), number: numAsked, is_wide: innerWidth > 1000 });
  }

  function go(query) {
    if (query !== location.search) history.pushState(null, "", query || location.pathname);
    show(query);
  }

  window.viewer = {
    // The bridge tells how to ask, and then what the server has shown: {query, number}, number 0 when a control asked.
    connect(send) {
      ask = send;
      show(location.search);
    },
    connectLabels(send) {
      saveLabel = send;
    },
    shown(answer) {
      const { query, number, title } = JSON.parse(answer);
      if (number && number !== numAsked) {
        // Of two questions under way the first was answered last, and its answer now stands on the page.
        if (numShown === numAsked) show(location.search);
        // A question asked while another was under way may never be answered: ask again when nothing comes.
        clearTimeout(askAgain);
        askAgain = setTimeout(() => numShown !== numAsked && show(location.search), 500);
        return;
      }
      numShown = numAsked;
      if (query !== location.search) {
        const change = number ? "replaceState" : "pushState";
        history[change](null, "", query || location.pathname);
      }
      document.title = title;
      document.body.dataset.shown = query;
      requestAnimationFrame(afterShown);
    },
  };

  function afterShown() {
    find(".viewer-tabs [aria-current=page]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
    find(".row-link[aria-current=true]")?.scrollIntoView({ block: "nearest" });
    for (const place of document.querySelectorAll("[data-fetch]")) {
      const address = place.dataset.fetch;
      delete place.dataset.fetch;
      fetchInto(place, address);
    }
    const name = find("#labeller");
    if (name && !name.value) name.value = localStorage.getItem("labeller") ?? "";
  }

  // What takes a while to make comes after the page: the frames of a video, the agreement of all labels.
  async function fetchInto(place, address) {
    try {
      const response = await fetch(address);
      if (!response.ok) throw new Error(await response.text());
      place.innerHTML = (await response.json()).html; // escaped by the server (markup.py)
    } catch (error) {
      place.textContent = error.message;
    }
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
    ArrowDown: "next-row",
    ArrowRight: "next-row",
    k: "previous-row",
    ArrowUp: "previous-row",
    ArrowLeft: "previous-row",
    n: "next-page",
    p: "previous-page",
    1: "label-1",
    2: "label-2",
    3: "label-3",
    u: "undo",
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.key === "Escape") {
      find("dialog[open]")?.close();
      if (isTyping(event.target)) event.target.blur();
      return;
    }
    if (isTyping(event.target)) return;
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
    } else if (KEYS[event.key] && press(KEYS[event.key])) {
      event.preventDefault();
    }
  });

  document.addEventListener("click", async (event) => {
    const link = event.target.closest?.("a[data-go]");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
      event.preventDefault();
      go(link.getAttribute("href"));
      return;
    }
    const button = event.target.closest?.("button");
    if (!button) return;
    if (button.dataset.copy !== undefined) copy(button);
    else if (button.dataset.seek !== undefined) seek(Number(button.dataset.seek));
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
      show(location.search);
    }
  });

  window.addEventListener("popstate", () => show(location.search));

  function label(button) {
    const form = button.closest("[data-row]");
    numAsked += 1;
    saveLabel?.({
      query: location.search,
      label: button.dataset.label,
      row: form?.dataset.row,
      observation: form?.dataset.observation,
      note: find("#note")?.value ?? "",
      labeller: labeller(),
      number: numAsked,
    });
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
    setTimeout(() => (button.textContent = before), 1200);
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
