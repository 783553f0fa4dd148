"use strict";
// The page of `replay inspect --format html`. Text from the session reaches the page through textContent alone.
(() => {
  const ROW = 20, SLICE = 12;
  const $ = (id) => document.getElementById(id);
  const meta = JSON.parse($("meta").textContent);
  const entryBlocks = [...document.querySelectorAll("script.entries")];
  const textBlocks = [...document.querySelectorAll("script.texts")].map((node) => ({
    node, from: Number(node.dataset.from), to: Number(node.dataset.to), texts: null,
  }));
  const LINE = 0, TIME = 1, LANE = 2, FILE = 3, EXCHANGE = 4, TURN = 5, WHAT = 6, NAME = 7, MARKS = 8, CALL = 9, TITLE = 10, TEXT = 11;
  const DELTA = 1, NEW_TURN = 2, REFUSAL = 4, CUT = 8, OPEN = 64, PROBLEM = 128, QUIET = 256;
  const entries = [];
  let rows = [], cursor = 0, hits = new Set(), searching = 0, showAll = false, raw = false;

  // what a reader cannot see is shown by name
  const visible = (text) => text.replace(
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff0-\ufffb]/g,
    (c) => {
      const code = c.charCodeAt(0);
      return code < 32 ? String.fromCharCode(0x2400 + code) : "<U+" + code.toString(16).toUpperCase().padStart(4, "0") + ">";
    });
  const later = (work) => setTimeout(work, 0);

  const clock = (micros) => {
    if (micros === null) return "";
    const ms = Math.floor(micros / 1000), s = Math.floor(ms / 1000), m = Math.floor(s / 60), h = Math.floor(m / 60);
    const two = (n) => String(n).padStart(2, "0"), rest = "." + String(ms % 1000).padStart(3, "0");
    return h ? `${h}:${two(m % 60)}:${two(s % 60)}${rest}` : m ? `${m}:${two(s % 60)}${rest}` : `${s}${rest}s`;
  };
  const sign = (e) => (e[MARKS] & REFUSAL ? "✗" : e[MARKS] & CUT ? "✂" : e[MARKS] & OPEN ? "!" : meta.signs[e[WHAT]]);

  // --- the texts, parsed a block at a time
  const textOf = (at) => {
    let low = 0, high = textBlocks.length - 1;
    while (low < high) {
      const mid = (low + high) >> 1;
      if (textBlocks[mid].to <= at) low = mid + 1; else high = mid;
    }
    const block = textBlocks[low];
    if (!block || at < block.from || at >= block.to) return "";
    if (!block.texts) {
      // few blocks are kept parsed
      const kept = textBlocks.filter((it) => it.texts);
      if (kept.length > 8) kept[0].texts = null;
      block.texts = JSON.parse(block.node.textContent);
    }
    return block.texts[at - block.from];
  };

  // --- filters
  let filter = {};
  const parseFilter = (text) => {
    const found = {};
    for (const word of text.split(/\s+/).filter(Boolean)) {
      const [key, ...rest] = word.split(":"), value = rest.join(":");
      if (word === "errors") found.errors = true;
      else if (["kind", "call", "lane", "exchange"].includes(key) && value) found[key] = value;
      else throw new Error(`${word}: a filter is kind:…, call:…, lane:…, exchange:… or errors`);
    }
    return found;
  };
  const passes = (e, at) =>
    (showAll || !(e[MARKS] & QUIET)) &&
    (!filter.errors || e[MARKS] & (REFUSAL | CUT | OPEN | PROBLEM)) &&
    (!filter.kind || filter.kind.split(",").includes(meta.whats[e[WHAT]])) &&
    (!filter.exchange || String(e[EXCHANGE]) === filter.exchange) &&
    (!filter.lane || (e[LANE] !== null && meta.lanes[e[LANE]].name.includes(filter.lane))) &&
    (!filter.call || (e[CALL] !== null && meta.calls[e[CALL]].id.includes(filter.call)) ||
      (touches.get(at) || []).some((call) => call.id.includes(filter.call)));
  const refilter = () => {
    rows = [];
    for (let at = 0; at < entries.length; at++) if (passes(entries[at], at)) rows.push(at);
    space.style.height = rows.length * ROW + "px";
    counts();
    drawRows();
  };

  // --- the list: only the rows in sight are in the page
  const list = $("list"), space = document.createElement("div");
  space.className = "space";
  list.append(space);
  const drawRows = () => {
    const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 5);
    const count = Math.ceil(list.clientHeight / ROW) + 10;
    const fresh = [];
    for (let row = first; row < Math.min(rows.length, first + count); row++) {
      const at = rows[row], e = entries[at], node = document.createElement("div");
      node.className = "row" + (e[MARKS] & (REFUSAL | CUT | OPEN) ? " bad" : "") + (e[MARKS] & NEW_TURN ? " turn" : "") +
        (at === cursor ? " here" : "") + (hits.has(at) ? " hit" : "");
      node.style.top = row * ROW + "px";
      const link = document.createElement("a");
      link.href = hash(e);
      link.textContent = String(e[LINE]).padStart(6);
      const lane = meta.lanes.length > 1 && e[LANE] !== null ? String.fromCharCode(65 + (e[LANE] % 26)) : " ";
      const changes = changed.get(at) || " ";
      node.append(link, ` ${clock(e[TIME]).padStart(9)} ${lane}${sign(e)}${changes} ${visible(e[TITLE] + " " + e[TEXT])}`);
      node.dataset.at = at;
      fresh.push(node);
    }
    space.replaceChildren(...fresh);
  };
  const hash = (e) => (e[FILE] ? `#F${e[FILE] + 1}L${e[LINE]}` : `#L${e[LINE]}`);

  // --- the calls: spans of [from, to, half] by entry
  const changed = new Map(), touches = new Map();
  const touch = (at, call) => { if (at !== null) { const of = touches.get(at); if (of) of.push(call); else touches.set(at, [call]); } };
  meta.calls.forEach((call) => call.spans.forEach(([from, to, half]) => {
    touch(from, call); touch(to, call);
    if (!half) changed.set(from, changed.get(from) === "●" ? "◐" : "○");
    if (!half && to !== null) changed.set(to, changed.get(to) === "○" ? "◐" : "●");
  }));
  const openAt = (at) => meta.calls.filter((call) => call.spans.some(([from, to]) => from <= at && (to === null || to > at)));

  const go = (at, scroll = true) => {
    if (at < 0 || at >= entries.length) return;
    cursor = at;
    let low = 0, high = rows.length;
    while (low < high) { const mid = (low + high) >> 1; if (rows[mid] < at) low = mid + 1; else high = mid; }
    if (rows[low] !== at) {
      // what is filtered out is shown where it is asked for
      rows.splice(low, 0, at);
      space.style.height = rows.length * ROW + "px";
    }
    if (scroll) {
      const top = low * ROW;
      if (top < list.scrollTop) list.scrollTop = top;
      else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
    }
    const e = entries[at];
    history.replaceState(null, "", hash(e));
    drawRows(); drawSide(at); drawOpen(at); drawPicture();
  };
  const step = (by) => {
    const place = rows.indexOf(cursor), to = rows[Math.max(0, Math.min(rows.length - 1, place + by))];
    if (to !== undefined) go(to);
  };
  const jump = (marks, back) => {
    for (let at = cursor + (back ? -1 : 1); at >= 0 && at < entries.length; at += back ? -1 : 1)
      if (entries[at][MARKS] & marks) return go(at);
    say("nothing more that way");
  };

  // --- the right side
  const line = (text, kind) => { const p = document.createElement("div"); if (kind) p.className = kind; p.textContent = visible(text); return p; };
  const drawSide = (at) => {
    const e = entries[at], parts = [];
    const where = [`line ${e[LINE]}`];
    if (e[EXCHANGE]) where.push(`exchange ${e[EXCHANGE]}`);
    if (e[TURN]) where.push(`turn ${e[TURN]}`);
    if (e[TIME] !== null) where.push("+" + clock(e[TIME]));
    if (e[LANE] !== null) where.push(meta.lanes[e[LANE]].name);
    if (meta.files.length > 1) where.push(meta.files[e[FILE]].path);
    parts.push(line(where.join(" · "), "faint"));
    if (e[MARKS] & REFUSAL) parts.push(line("✗ refusal", "bad"));
    if (e[MARKS] & CUT) parts.push(line("✂ cut: what was being said breaks off here", "bad"));
    if (e[CALL] !== null) parts.push(line(`${meta.calls[e[CALL]].id}: ${meta.calls[e[CALL]].fate}`, "care"));
    let text = textOf(at);
    if (!raw) try { text = JSON.stringify(JSON.parse(text), null, 2); } catch { /* it is no JSON: shown as it stands */ }
    const pre = document.createElement("pre");
    pre.textContent = visible(text.length > 400000 ? text.slice(0, 400000) + "\n…" : text);
    parts.push(pre);
    $("side").replaceChildren(...parts);
  };
  const drawOpen = (at) => {
    const open = openAt(at), title = document.createElement("h2"), items = document.createElement("ul");
    const whole = open.filter((call) => call.spans.some(([from, to, half]) => !half && from <= at && (to === null || to > at)));
    title.textContent = `open calls at line ${entries[at][LINE]}: ${whole.length}`;
    if (whole.length) title.className = "bad";
    for (const call of open.slice(-50).reverse()) {
      const span = call.spans.find(([from, to]) => from <= at && (to === null || to > at));
      const item = document.createElement("li");
      item.textContent = visible(`${call.kind} ${call.id} ${span[2] ? "half" : "open"} since line ${entries[span[0]][LINE]}; ${call.fate}`);
      items.append(item);
    }
    $("open").replaceChildren(title, items);
  };

  // --- the picture: a lane for each thread, a bar for each call
  const canvas = document.createElement("canvas");
  $("picture").append(canvas);
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "a bar for each call, from opened to answered");
  let layout = null, byTime = meta.span > 0;
  const lay = () => {
    // calls that do not overlap share a row of their lane
    const lanes = meta.lanes.map((lane) => ({ name: lane.name, rows: [], bars: [] }));
    meta.calls.forEach((call) => {
      const lane = lanes[call.lane];
      if (!lane || !call.spans.length) return;
      const from = call.spans[0][0], last = call.spans[call.spans.length - 1][1], to = last === null ? Infinity : last;
      let row = lane.rows.findIndex((end) => end <= from);
      if (row < 0) { row = Math.min(lane.rows.length, 19); lane.rows[row] = 0; }
      lane.rows[row] = Math.max(lane.rows[row], to);
      lane.bars.push({ call, row });
    });
    let y = 16;
    for (const lane of lanes) { lane.y = y; y += 14 + Math.max(1, lane.rows.length) * 9 + 4; }
    return { lanes, height: y + 2 };
  };
  const place = (at, width) => {
    const e = entries[at];
    if (byTime && e) {
      let time = e[TIME];
      for (let back = at; time === null && back >= 0; back--) time = entries[back][TIME];
      return 8 + ((time || 0) / meta.span) * (width - 16);
    }
    return 8 + (at / Math.max(1, entries.length - 1)) * (width - 16);
  };
  const drawPicture = () => {
    if (!layout) return;
    const width = $("picture").clientWidth, scale = window.devicePixelRatio || 1;
    canvas.width = width * scale; canvas.height = layout.height * scale;
    canvas.style.width = width + "px"; canvas.style.height = layout.height + "px";
    const draw = canvas.getContext("2d"), css = getComputedStyle(document.documentElement);
    const colour = (name) => css.getPropertyValue(name);
    draw.scale(scale, scale);
    draw.font = "11px system-ui, sans-serif";
    const ink = getComputedStyle(document.body).color;
    for (const lane of layout.lanes) {
      draw.fillStyle = ink;
      draw.fillText(visible(lane.name), 8, lane.y + 9);
      for (const { call, row } of lane.bars) {
        const y = lane.y + 13 + row * 9;
        for (const [from, to, half] of call.spans) {
          const x = place(from, width), end = to === null ? width - 8 : place(to, width);
          draw.fillStyle = half ? colour("--half") : to === null ? colour("--bad") : colour("--bar");
          draw.fillRect(x, half ? y + 2 : y, Math.max(2, end - x), half ? 3 : 7);
        }
      }
    }
    for (const at of layout.marks) {
      const refusal = entries[at][MARKS] & REFUSAL;
      draw.fillStyle = colour("--bad");
      draw.fillText(refusal ? "✗" : "✂", place(at, width) - 4, 11);
    }
    draw.strokeStyle = ink;
    const x = Math.round(place(cursor, width)) + 0.5;
    draw.beginPath(); draw.moveTo(x, 0); draw.lineTo(x, layout.height); draw.stroke();
  };
  canvas.addEventListener("click", (event) => {
    const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    for (const lane of layout.lanes) for (const { call, row } of lane.bars) {
      const top = lane.y + 13 + row * 9;
      if (y >= top - 1 && y <= top + 8) for (const [from, to] of call.spans)
        if (x >= place(from, box.width) - 2 && x <= (to === null ? box.width : place(to, box.width) + 2)) return go(from);
    }
    let best = 0, near = Infinity;
    for (const at of rows) { const far = Math.abs(place(at, box.width) - x); if (far < near) { near = far; best = at; } }
    go(best);
  });

  // --- search: all texts, a slice of time at once
  const search = (text) => {
    const run = ++searching;
    hits = new Set();
    if (!text) { drawRows(); counts(); return; }
    let pattern;
    try { pattern = new RegExp(text, /[A-Z]/.test(text) ? "" : "i"); } catch (error) { say(error.message); return; }
    let block = 0, went = false;
    const slice = () => {
      if (run !== searching) return;
      const until = performance.now() + SLICE;
      while (block < textBlocks.length && performance.now() < until) {
        const it = textBlocks[block++], texts = it.texts || JSON.parse(it.node.textContent);
        texts.forEach((one, place) => {
          const e = entries[it.from + place];
          if (pattern.test(one) || (e && pattern.test(e[TITLE] + " " + e[TEXT]))) hits.add(it.from + place);
        });
      }
      say(block < textBlocks.length ? `searching ${Math.floor((100 * block) / textBlocks.length)}%` : `${hits.size} entries match`);
      if (!went && hits.size) { went = true; next(false); }
      drawRows();
      if (block < textBlocks.length) later(slice);
    };
    slice();
  };
  const next = (back) => {
    const sorted = [...hits].sort((a, b) => a - b);
    if (!sorted.length) return say("nothing matches");
    const found = back ? sorted.filter((at) => at < cursor).pop() ?? sorted[sorted.length - 1] : sorted.find((at) => at > cursor) ?? sorted[0];
    go(found);
  };

  const say = (text) => { $("said").textContent = text; };
  const counts = () => say(`${rows.length} of ${entries.length} entries`);

  // --- wiring
  list.addEventListener("scroll", () => requestAnimationFrame(drawRows));
  list.addEventListener("click", (event) => {
    const row = event.target.closest(".row");
    if (row) { event.preventDefault(); go(Number(row.dataset.at), false); list.focus(); }
  });
  $("search").addEventListener("change", () => search($("search").value));
  $("filter").addEventListener("change", () => {
    try { filter = parseFilter($("filter").value); refilter(); } catch (error) { say(error.message); }
  });
  $("all").addEventListener("change", () => { showAll = $("all").checked; refilter(); });
  $("raw").addEventListener("change", () => { raw = $("raw").checked; drawSide(cursor); });
  $("bytime").addEventListener("change", () => { byTime = $("bytime").checked && meta.span > 0; drawPicture(); });
  for (const [id, marks] of [["cuts", CUT], ["refusals", REFUSAL], ["left", OPEN], ["turns", NEW_TURN]])
    $(id).addEventListener("click", (event) => jump(marks, event.shiftKey));
  document.addEventListener("keydown", (event) => {
    if (event.target.tagName === "INPUT" || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(list.clientHeight / ROW) - 1);
    const keys = {
      j: () => step(1), ArrowDown: () => step(1), k: () => step(-1), ArrowUp: () => step(-1),
      " ": () => step(page), PageDown: () => step(page), b: () => step(-page), PageUp: () => step(-page),
      g: () => step(-Infinity), Home: () => step(-Infinity), G: () => step(Infinity), End: () => step(Infinity),
      c: () => jump(CUT), C: () => jump(CUT, true), x: () => jump(REFUSAL), X: () => jump(REFUSAL, true),
      o: () => jump(OPEN), O: () => jump(OPEN, true), "]": () => jump(NEW_TURN), "[": () => jump(NEW_TURN, true),
      n: () => next(false), N: () => next(true), "/": () => $("search").focus(), f: () => $("filter").focus(),
    };
    const act = keys[event.key];
    if (act) { event.preventDefault(); act(); }
  });
  window.addEventListener("resize", () => { drawRows(); drawPicture(); });
  const fromHash = () => {
    const found = /^#(?:F(\d+))?L(\d+)$/.exec(location.hash);
    if (!found) return false;
    const file = found[1] ? Number(found[1]) - 1 : 0, line = Number(found[2]);
    const at = entries.findIndex((e) => e[FILE] === file && e[LINE] >= line);
    if (at < 0) return false;
    go(at);
    return true;
  };
  window.addEventListener("hashchange", fromHash);

  // --- the entries, parsed a block at a time
  let block = 0;
  const load = () => {
    const until = performance.now() + SLICE;
    while (block < entryBlocks.length && performance.now() < until)
      entries.push(...JSON.parse(entryBlocks[block++].textContent));
    if (block < entryBlocks.length) { say(`reading ${Math.floor((100 * block) / entryBlocks.length)}%`); later(load); return; }
    later(() => {
      layout = lay();
      layout.marks = [];
      entries.forEach((e, at) => { if (e[MARKS] & (REFUSAL | CUT)) layout.marks.push(at); });
      $("bytime").checked = byTime;
      refilter();
      if (entries.length && !fromHash()) go(rows[0] ?? 0);
      document.body.dataset.ready = "yes";
    });
  };
  load();
})();
