// The text: tokens in the colours of a mode, pages of it, and which token is selected.

const PAGE = 2000;
const state = { mode: null, page: -1, selected: -1, hovered: -1, spans: [] };

const clamp = (x, most = 15) => Math.max(0, Math.min(most, Math.floor(x)));
const MODES = {
  score: [
    { name: "surprisal", label: "Surprisal", of: (k) => value("surprisal", k), tint: (x) => `s${clamp(x / 0.75)}`,
      ticks: { 0: "0", 4: "3", 8: "6", 12: "9", 16: "12+" }, unit: "nats" },
    { name: "rank", label: "Rank", of: (k) => value("rank", k), tint: (x) => (x > 0 ? `s${clamp(Math.log2(x))}` : "odd"),
      ticks: { 0: "1", 4: "16", 8: "256", 12: "4,096", 16: "65,536" }, unit: "" },
    { name: "entropy", label: "Entropy", of: (k) => value("entropy", k), tint: (x) => `s${clamp(x / 0.5)}`,
      ticks: { 0: "0", 4: "2", 8: "4", 12: "6", 16: "8+" }, unit: "nats" },
  ],
  compare: [
    { name: "kl", label: "KL(P‖Q)", of: (k) => value("kl_pq", k), tint: (x) => `s${clamp(12 * Math.sqrt(x))}`,
      ticks: { 0: "0", 4: "0.11", 8: "0.44", 12: "1", 16: "1.8+" }, unit: "nats" },
    { name: "delta", label: "Δ log-probability", of: delta, tint: (x) => signedTint(x), needs: "p_surprisal", signed: true,
      ticks: { 0: "−2", 4: "−1", 8: "0", 12: "+1", 16: "+2" }, unit: "nats" },
    { name: "entropy", label: "Entropy of P", of: (k) => value("entropy", k), tint: (x) => `s${clamp(x / 0.5)}`,
      ticks: { 0: "0", 4: "2", 8: "4", 12: "6", 16: "8+" }, unit: "nats" },
  ],
};

// How much likelier the second model finds the target, in nats.
function delta(k) {
  return value("p_surprisal", k) - value("q_surprisal", k);
}

function signedTint(x) {
  const size = clamp(Math.abs(x) / 0.25, 7);
  return `d${x < 0 ? 7 - size : 8 + size}`;
}

function tint(k) {
  if (isIgnored(k)) return "ignored";
  const x = state.mode.of(k);
  return Number.isNaN(x) ? "odd" : state.mode.tint(x);
}

function drawModes() {
  const modes = MODES[DATA.kind].filter((mode) => !mode.needs || TOKENS.column[mode.needs]);
  const holder = document.getElementById("modes");
  for (const mode of modes) {
    const button = element("button", { type: "button", "data-mode": mode.name }, mode.label);
    button.addEventListener("click", () => setMode(mode));
    holder.append(button);
  }
  state.mode = modes[0];
}

function setMode(mode) {
  state.mode = mode;
  for (const button of document.querySelectorAll("#modes button")) {
    button.setAttribute("aria-pressed", String(button.dataset.mode === mode.name));
  }
  drawLegend(mode);
  state.spans.forEach((span) => { span.className = `token ${tint(Number(span.dataset.k))}`; });
}

function drawLegend(mode) {
  const ramp = element("div", { class: "ramp", "aria-hidden": "true" });
  for (let k = 0; k < 16; k++) ramp.append(element("span", { class: `${mode.signed ? "d" : "s"}${k}` }, "\u00a0"));
  const scale = element("div", { class: "scale" });
  for (const [at, label] of Object.entries(mode.ticks)) {
    const tick = element("span", {}, label);
    tick.style.left = `${(100 * at) / 16}%`;
    scale.append(tick);
  }
  const ends = mode.signed ? "less likely under Q ← → more likely" : mode.unit;
  document.getElementById("legend").replaceChildren(element("div", {}, ramp, scale), element("span", { class: "unit" }, ends));
}

function drawPage(page) {
  state.page = page;
  const text = document.getElementById("text");
  const first = page * PAGE, end = Math.min(TOKENS.count, first + PAGE);
  const made = document.createDocumentFragment();
  state.spans = [];
  let since = 0;
  for (let k = first; k < end; k++) {
    const at = TOKENS.at[k], length = DATA.tokens.length;
    if (DATA.tokens.size > length && (k === first || Math.floor(at / length) !== Math.floor(TOKENS.at[k - 1] / length))) {
      made.append(element("span", { class: "which", role: "presentation" }, `Text ${Math.floor(at / length)}`));
    } else if (k > 0 && TOKENS.at[k - 1] !== at - 1) {
      made.append(element("span", { class: "which", role: "presentation" }, `Token ${whole(at)}`));
    }
    if (isIgnored(k) && value("token", k) < 0) k = skipIgnored(made, k, end);
    else {
      since += TOKENS.texts[value("token", k)]?.length ?? 99;
      if (mayBreak(k, since)) { made.append(element("wbr")); since = 0; }
      made.append(tokenSpan(k));
    }
  }
  text.replaceChildren(made);
  drawPager();
}

// Lines break before blanks, so that a token is never in two lines: where both sides are letters of a script that
// writes blanks, they do not, but for runs that would be too long.
const JOINED = /[\p{Script=Latin}\p{Script=Cyrillic}\p{Script=Greek}\p{Script=Arabic}\p{Script=Hebrew}\p{M}\d\p{P}]/u;

function mayBreak(k, since) {
  const text = TOKENS.texts[value("token", k)] ?? " ", before = TOKENS.texts[value("token", k - 1)] ?? " ";
  return since > 24 || !JOINED.test([...text][0] ?? " ") || !JOINED.test([...before].at(-1) ?? " ");
}

// A run of ignored tokens without strings is one word. Its end is returned.
function skipIgnored(made, first, end) {
  let k = first;
  const text = (k) => Math.floor(TOKENS.at[k] / DATA.tokens.length);
  while (k + 1 < end && isIgnored(k + 1) && value("token", k + 1) < 0 && text(k + 1) === text(first)) k++;
  made.append(element("span", { class: "cut", role: "presentation" }, ` ${k - first + 1} ignored `));
  return k;
}

function tokenSpan(k) {
  const span = element("span", {
    class: `token ${tint(k)}`, role: "option", tabindex: "-1", "data-k": k, "aria-selected": "false",
    "data-long": TOKENS.texts[value("token", k)]?.length > 16 ? "" : null,
  }, tokenNode(value("token", k), true));
  state.spans.push(span);
  return span;
}

function drawPager() {
  const pages = Math.ceil(TOKENS.count / PAGE);
  const holder = document.getElementById("text-pages");
  holder.hidden = pages < 2;
  holder.replaceChildren(...pager(state.page, pages, PAGE, TOKENS.count, "tokens", (page) => {
    drawPage(page);
    select(page * PAGE);
  }));
}

function pager(page, pages, size, total, what, go) {
  const button = (label, to, name) => {
    const made = element("button", { type: "button", "aria-label": name }, label);
    made.disabled = to < 0 || to >= pages || to === page;
    made.addEventListener("click", () => go(to));
    return made;
  };
  const said = `${whole(page * size + 1)}–${whole(Math.min(total, (page + 1) * size))} of ${whole(total)} ${what}`;
  return [button("«", 0, "First page"), button("‹", page - 1, "Page before"), element("span", {}, said),
    button("›", page + 1, "Next page"), button("»", pages - 1, "Last page")];
}

function spanOf(k) {
  return state.spans.find((span) => Number(span.dataset.k) === k);
}

// Selects a token: its details, its place in the address, and the focus of the keyboard if it is there.
function select(k, { focus = false, scroll = false, address = true } = {}) {
  if (k < 0 || k >= TOKENS.count) return;
  if (Math.floor(k / PAGE) !== state.page) drawPage(Math.floor(k / PAGE));
  const before = document.querySelector('#text [aria-selected="true"]');
  before?.setAttribute("aria-selected", "false");
  before?.setAttribute("tabindex", "-1");
  state.selected = k;
  const span = spanOf(k);
  span?.setAttribute("aria-selected", "true");
  span?.setAttribute("tabindex", "0");
  if (focus) span?.focus({ preventScroll: scroll });
  if (scroll) span?.scrollIntoView({ block: "center" });
  showDetails(k);
  markPosition(k);
  document.getElementById("spoken").textContent = address ? spokenDetails(k) : "";
  if (address) {
    try { history.replaceState(null, "", `#token=${TOKENS.at[k]}`); } catch { /* some browsers refuse it for files */ }
  }
}

// The token of the line above (−1) or below (1) that is nearest to the selected one.
function lineNeighbour(direction) {
  const here = spanOf(state.selected)?.getClientRects()[0];
  let best = -1, least = Infinity;
  for (const span of here ? state.spans : []) {
    const box = span.getClientRects()[0];
    const lines = Math.round(((box?.top ?? here.top) - here.top) / (here.height * 0.9)) * direction;
    if (lines < 1) continue;
    const far = lines * 1e5 + Math.abs(box.left + box.width / 2 - here.left - here.width / 2);
    if (far < least) { least = far; best = Number(span.dataset.k); }
  }
  return best;
}

function move(key) {
  const places = state.spans.map((span) => Number(span.dataset.k));
  const next = {
    ArrowRight: () => places.find((k) => k > state.selected) ?? turnPage(1, 0),
    ArrowLeft: () => places.findLast((k) => k < state.selected) ?? turnPage(-1, -1),
    ArrowDown: () => lineNeighbour(1), ArrowUp: () => lineNeighbour(-1),
    Home: () => places[0], End: () => places[places.length - 1], w: () => nextWorst(), W: () => nextWorst(),
  }[key];
  if (next) select(next(), { focus: true });
  return Boolean(next);
}

// The first (0) or last (−1) token of the page after (1) or before (−1), if there is one.
function turnPage(direction, which) {
  const page = state.page + direction;
  if (page < 0 || page * PAGE >= TOKENS.count) return -1;
  drawPage(page);
  return Number(state.spans.at(which)?.dataset.k ?? -1);
}

function nextWorst() {
  const places = DATA.worst.map(placeOf);
  return places[(places.indexOf(state.selected) + 1) % places.length] ?? state.selected;
}

function listenToText() {
  const text = document.getElementById("text");
  const place = (event) => Number(event.target.closest?.(".token")?.dataset.k ?? -1);
  text.addEventListener("click", (event) => { if (place(event) >= 0) select(place(event), { focus: true }); });
  text.addEventListener("mouseover", (event) => { if (place(event) >= 0) showDetails(place(event)); });
  text.addEventListener("mouseleave", () => showDetails(state.selected));
  text.addEventListener("keydown", (event) => {
    if (!event.ctrlKey && !event.metaKey && !event.altKey && move(event.key)) event.preventDefault();
  });
}
