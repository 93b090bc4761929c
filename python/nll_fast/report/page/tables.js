// The worst tokens with what is around them, the statistics, and all tokens as a table.

const ROWS = 50;

function headRow(names) {
  return element("thead", {}, element("tr", {}, ...names.map((name, j) => element("th", { scope: "col", class: j ? "number" : "" }, name))));
}

function cells(contents, ...classes) {
  return element("tr", {}, ...contents.map((content, j) => element("td", { class: classes[j] ?? "" }, content)));
}

function drawWorst() {
  const places = DATA.worst.map(placeOf).filter((k) => k >= 0);
  if (!places.length) return;
  const section = document.getElementById("worst"), kl = DATA.kind === "compare";
  const list = element("ol", { class: "worst" });
  const first = Math.min(20, places.length);
  const add = (from, to) => list.append(...places.slice(from, to).map(kl ? changedItem : worstItem));
  add(0, first);
  section.append(element("h2", {}, kl ? "Tokens that changed most" : "Most surprising tokens"),
    element("p", { class: "sub" }, kl ? "By KL(P‖Q). Each leads to its place in the text." : "Each leads to its place in the text."), list);
  if (places.length > first) {
    const more = element("button", { type: "button", class: "more" }, `Show ${whole(places.length)}`);
    more.addEventListener("click", () => { add(first); more.remove(); });
    section.append(more);
  }
  section.hidden = false;
}

function snippet(k) {
  const before = element("span"), after = element("span", { class: "after" });
  const target = element("strong", { class: `token ${tint(k)}` }, tokenNode(value("token", k)));
  const length = DATA.tokens.length, text = Math.floor(TOKENS.at[k] / length);
  for (let j = k - 7; j <= k + 3; j++) {
    const near = TOKENS.at[j] === TOKENS.at[k] + j - k && Math.floor(TOKENS.at[j] / length) === text;
    if (!near || j === k || value("token", j) < 0) continue;
    const side = j < k ? before : after;
    if (TOKENS.texts[value("token", j)] === null && j > k) side.append(" ");
    side.append(tokenNode(value("token", j)));
    if (TOKENS.texts[value("token", j)] === null && j < k) side.append(" ");
  }
  return element("span", { class: "snippet" }, element("span", { class: "before" }, before), target, after);
}

function link(k, ...children) {
  const made = element("a", { href: `#token=${TOKENS.at[k]}`, class: "jump" }, ...children);
  made.addEventListener("click", (event) => {
    event.preventDefault();
    select(k, { focus: true, scroll: true });
  });
  return made;
}

function quoted(index) {
  const id = index < 0 || TOKENS.texts[index] === null;
  return element(id ? "span" : "q", {}, tokenNode(index));
}

function instead(k) {
  if (value("other0", k) < 0) return "";
  const share = percent(Math.exp(-value("other_surprisal0", k)), 2);
  return element("span", { class: "instead" }, "not ", quoted(value("other0", k)), ` ${share}`);
}

function worstItem(k) {
  const size = element("span", { class: "size" }, fixed(value("surprisal", k), 2));
  return element("li", {}, link(k, size, snippet(k), element("span", { class: "rank" }, `rank ${whole(value("rank", k))}`), instead(k)));
}

function changedItem(k) {
  const p = value("p_surprisal", k), shares = p === undefined ? "" :
    `${percent(Math.exp(-p), 2)} → ${percent(Math.exp(-value("q_surprisal", k)), 2)}`;
  const tops = value("p_argmax", k) === value("q_argmax", k)
    ? element("span", { class: "instead" }, "same top ", quoted(value("p_argmax", k)))
    : element("span", { class: "instead" }, quoted(value("p_argmax", k)), " → ", quoted(value("q_argmax", k)));
  return element("li", {}, link(k, element("span", { class: "size" }, number(value("kl_pq", k), 3)), snippet(k),
    element("span", { class: "rank" }, shares), tops));
}

// Numbers under llama.cpp's names, which have blanks, and beside them those of both directions and of what is left.
function drawStatistics() {
  if (DATA.kind !== "compare") return;
  const body = Object.entries(DATA.summary).filter(([name]) => name.includes(" ")).map(([name, x]) => {
    const unit = name.includes("Δp") || name === "Same top p" ? " %" : "";
    const [mean, error] = Array.isArray(x) ? x : [x];
    return cells([name, number(mean, 5) + unit, error === undefined ? "" : `± ${number(error, 3)}${unit}`], "", "number", "number");
  });
  const section = document.getElementById("statistics");
  section.append(element("h2", {}, "Statistics"), element("p", { class: "sub" }, "Under the names that llama.cpp gives them; P is its base model, and Q its Q."),
    element("div", { class: "columns" }, element("table", {}, headRow(["Statistic", "Value", "Standard error"]), element("tbody", {}, ...body)),
      element("div", {}, directions(), means())));
  section.hidden = false;
}

function directions() {
  const { kl_pq: there, kl_qp: back } = DATA.summary;
  const body = Object.keys(there).map((key) => cells([key, number(there[key]), number(back[key])], "", "number", "number"));
  return element("table", {}, headRow(["KL, nats", "P‖Q", "Q‖P"]), element("tbody", {}, ...body));
}

function means() {
  const names = { js: "Jensen–Shannon", total_variation: "Total variation", p_entropy: "Entropy of P", same_top: "Same top token",
    top_k_overlap: `Overlap of the top ${DATA.top_k}`, top_k_in_order: `Same top ${DATA.top_k} in order` };
  const body = Object.entries(names).filter(([name]) => DATA.top_k || !name.startsWith("top_k")).map(([name, label]) =>
    cells([label, name.includes("top") ? percent(DATA.summary[name]) : number(DATA.summary[name])], "", "number"));
  return element("table", { class: "small" }, headRow(["Means", "Value"]), element("tbody", {}, ...body));
}

const COLUMNS = {
  score: [
    ["surprisal", "Surprisal", (k) => value("surprisal", k), fixed],
    ["probability", "Probability", (k) => Math.exp(-value("surprisal", k)), percent],
    ["rank", "Rank", (k) => value("rank", k), whole],
    ["entropy", "Entropy", (k) => value("entropy", k), fixed],
    ["other0", "Most likely", null, (k) => tokenNode(value("other0", k))],
  ],
  compare: [
    ["kl_pq", "KL(P‖Q)", (k) => value("kl_pq", k), (x) => number(x, 3)],
    ["kl_qp", "KL(Q‖P)", (k) => value("kl_qp", k), (x) => number(x, 3)],
    ["p_surprisal", "log p", (k) => -value("p_surprisal", k), fixed],
    ["q_surprisal", "log q", (k) => -value("q_surprisal", k), fixed],
    ["entropy", "Entropy of P", (k) => value("entropy", k), fixed],
    ["p_argmax", "Top of P", null, (k) => tokenNode(value("p_argmax", k))],
    ["q_argmax", "Top of Q", null, (k) => tokenNode(value("q_argmax", k))],
  ],
};

const table = { order: [], sorted: "", down: false, page: 0 };

function drawTable() {
  if (!TOKENS.count) return;
  const section = document.getElementById("table");
  const columns = COLUMNS[DATA.kind].filter(([name]) => name === "probability" || TOKENS.column[name]);
  table.order = Array.from({ length: TOKENS.count }, (_, k) => k);
  const head = element("tr", {}, element("th", { scope: "col", class: "number" }, sorter("Token", "", (k) => TOKENS.at[k])), element("th", { scope: "col" }, "String"));
  for (const [, label, of] of columns) {
    head.append(element("th", { scope: "col", class: of ? "number" : "" }, of ? sorter(label, label, of) : label));
  }
  section.append(element("h2", {}, "All numbers"), element("p", { class: "sub" }, "A click on a name sorts by it."),
    element("div", { class: "wide" }, element("table", {}, element("thead", {}, head), element("tbody", { id: "table-rows" }))),
    element("div", { class: "pager", id: "table-pages" }));
  section.hidden = false;
  drawRows(columns);
}

function sorter(label, name, of) {
  const button = element("button", { type: "button" }, label);
  button.addEventListener("click", () => {
    table.down = table.sorted === name ? !table.down : name !== "";
    table.sorted = name;
    const rank = (k) => (Number.isNaN(of(k)) ? -Infinity : of(k));
    table.order.sort((a, b) => (table.down ? rank(b) - rank(a) : rank(a) - rank(b)) || a - b);
    table.page = 0;
    for (const other of document.querySelectorAll("#table th")) other.removeAttribute("aria-sort");
    button.parentElement.setAttribute("aria-sort", table.down ? "descending" : "ascending");
    drawRows(COLUMNS[DATA.kind].filter(([name]) => name === "probability" || TOKENS.column[name]));
  });
  return button;
}

function drawRows(columns) {
  const first = table.page * ROWS;
  const made = table.order.slice(first, first + ROWS).map((k) => {
    const numbers = columns.map(([, , of, show]) => (isIgnored(k) ? "" : of ? show(of(k)) : show(k)));
    const names = columns.map(([, , of]) => (of ? "number" : ""));
    const string = isIgnored(k) && value("token", k) < 0 ? "ignored" : tokenNode(value("token", k));
    return cells([link(k, whole(TOKENS.at[k])), string, ...numbers], "number", "string", ...names);
  });
  document.getElementById("table-rows").replaceChildren(...made);
  const pages = Math.ceil(TOKENS.count / ROWS), holder = document.getElementById("table-pages");
  holder.hidden = pages < 2;
  holder.replaceChildren(...pager(table.page, pages, ROWS, TOKENS.count, "rows", (page) => { table.page = page; drawRows(columns); }));
}
