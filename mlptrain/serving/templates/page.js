"use strict";
// Sends what is drawn, chosen or written to /predict, and shows the answer. One request at a time: what changes
// meanwhile is sent when the answer is there.
const kind = document.body.dataset.kind;
const at = (id) => document.getElementById(id);
const MAX_BARS = 12;
const HINTS = { draw: "Draw, and see.", upload: "Choose an image, and see.", form: "", none: "" };

let given = null; // what returns the body and its type; null where there is nothing to send
let asking = false;
let changed = false;

async function ask() {
  changed = true;
  if (asking) return;
  asking = true;
  while (changed) {
    changed = false;
    const sent = given;
    if (sent === null) {
      say(HINTS[kind], "quiet");
      continue;
    }
    try {
      const { body, type, query } = await sent();
      const response = await fetch(`predict${query || ""}`, { method: "POST", headers: { "Content-Type": type }, body });
      const answer = await response.json();
      if (given === null) continue;
      if (response.ok) show(answer);
      else say(answer.error, "fault");
    } catch {
      say("The server does not answer.", "fault");
    }
  }
  asking = false;
}

// Names are the file's: what would turn the direction of a line, or act otherwise, is marked.
const plain = (text) => text.replace(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, "\ufffd");

function say(text, className) {
  at("verdict").textContent = plain(text);
  at("verdict").className = className;
  at("bars").replaceChildren();
  at("notes").replaceChildren();
  at("seen").hidden = true;
}

function element(name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = plain(text);
  return made;
}

function show(answer) {
  const [one] = answer.predictions;
  const figures = Object.entries(one.probabilities || one.outputs || one.values);
  const percent = (value) => `${(100 * value).toFixed(value < 0.0995 || value > 0.9995 ? 2 : 1)} %`;
  const written = (value) => (one.probabilities ? percent(value) : String(Number(value.toPrecision(6))));
  if (one.values) {
    say(figures.map(([name, value]) => `${name} ${written(value)}`).join(", "), "");
  } else {
    say(one.name || "none of them", "");
    let shown = figures.map(([name, value], index) => ({ name, value, best: [one.class].flat().includes(index) }));
    if (shown.length > MAX_BARS) shown = shown.sort((a, b) => b.value - a.value).slice(0, MAX_BARS);
    const largest = Math.max(...shown.map((row) => Math.abs(row.value)), 1e-9);
    for (const { name, value, best } of shown) {
      const row = element("li", best ? "best" : "", "");
      const track = element("span", "track", "");
      const bar = element("span", "bar", "");
      bar.style.width = `${100 * (one.probabilities ? value : Math.max(0, value) / largest)}%`;
      track.append(bar);
      row.append(element("span", "name", name), track, element("span", "value", written(value)));
      at("bars").append(row);
    }
  }
  for (const note of [...answer.notes, ...(one.notes || [])]) {
    at("notes").append(element("li", note.startsWith("doubtful") ? "doubtful" : "", note));
  }
  if (one.seen) showSeen(one.seen);
}

function showSeen(rows) {
  const canvas = at("seen").querySelector("canvas");
  canvas.height = rows.length;
  canvas.width = rows[0].length;
  canvas.style.filter = Array.isArray(rows[0][0]) ? "none" : "";
  const pixels = rows.flat().flatMap((pixel) => {
    const colours = Array.isArray(pixel) ? pixel : [pixel, pixel, pixel];
    return [...colours.map((value) => Math.round(255 * value)), 255];
  });
  canvas.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(pixels), canvas.width), 0, 0);
  at("seen").hidden = false;
}

function startDrawing() {
  const paper = at("paper");
  const pen = paper.getContext("2d");
  let before = null;
  let length = 0; // of all strokes, in pixels; a first dot is no drawing
  const clear = () => {
    length = 0;
    pen.fillStyle = "black";
    pen.fillRect(0, 0, paper.width, paper.height);
    given = null;
    at("file").value = "";
    ask();
  };
  const place = (event) => {
    const box = paper.getBoundingClientRect();
    const scale = paper.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  };
  const draw = (event) => {
    if (before === null) return;
    for (const one of event.getCoalescedEvents ? event.getCoalescedEvents() : []) line(place(one));
    line(place(event));
    if (length < paper.width / 10) return;
    given = drawn;
    ask();
  };
  const line = (to) => {
    pen.strokeStyle = "white";
    pen.lineWidth = paper.width / 14;
    pen.lineCap = pen.lineJoin = "round";
    pen.beginPath();
    pen.moveTo(...before);
    pen.lineTo(...to);
    pen.stroke();
    length += Math.hypot(to[0] - before[0], to[1] - before[1]);
    before = to;
  };
  const drawn = async () => {
    const body = await new Promise((done) => paper.toBlob(done, "image/png"));
    return { body, type: "image/png", query: "?invert=false&seen=true" };
  };
  paper.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    if (given !== null && given !== drawn) clear();
    paper.setPointerCapture(event.pointerId);
    before = place(event);
    draw(event);
  });
  paper.addEventListener("pointermove", draw);
  for (const end of ["pointerup", "pointercancel"]) paper.addEventListener(end, () => (before = null));
  at("clear").addEventListener("click", clear);
  document.addEventListener("keydown", (event) => event.key === "Escape" && clear());
  clear();
}

function startChoosing() {
  at("file").addEventListener("change", () => {
    const [file] = at("file").files;
    given = file ? async () => ({ body: file, type: file.type.startsWith("image/") ? file.type : "image/unknown", query: "?seen=true" }) : null;
    const shown = at("chosen");
    if (shown) {
      shown.hidden = !file;
      const reader = new FileReader();
      reader.addEventListener("load", () => (shown.src = reader.result));
      shown.addEventListener("error", () => (shown.hidden = true));
      if (file) reader.readAsDataURL(file);
    }
    ask();
  });
}

function startForm() {
  const fields = [...at("row").querySelectorAll("input, select")];
  const value = (field) => {
    if (field.value === "") return null;
    if (field.dataset.kind === "number") return Number(field.value);
    return field.dataset.kind === "category" ? JSON.parse(field.value) : field.value;
  };
  given = async () => ({ body: JSON.stringify([fields.map(value)]), type: "application/json" });
  at("row").addEventListener("input", ask);
  at("row").addEventListener("submit", (event) => event.preventDefault());
  ask();
}

if (kind === "draw") startDrawing();
if (at("file")) startChoosing();
if (kind === "form") startForm();
if (kind !== "form") say(HINTS[kind], "quiet");
