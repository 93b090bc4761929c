// The head of the page, the colours of the day, and the order in which all is drawn.

const SHOWN = { share: percent, whole };

function drawHead() {
  const kl = DATA.kind === "compare";
  document.title = `${DATA.title} · nll_fast`;
  document.getElementById("title").textContent = DATA.title;
  document.getElementById("kicker").textContent = kl ? "nll_fast · two models, one text" : "nll_fast · token by token";
  const about = Object.fromEntries(DATA.about), command = document.getElementById("command");
  const names = ["P, the base", "Q, the other"].map((label) => about[label]);
  const parts = [kl && names.every(Boolean) ? `P is ${names[0]}, Q is ${names[1]}` : null,
    about.Dtype ?? "dtype not given", `temperature ${about.Temperature}`,
    about.Softcap === "none" ? "no softcap" : `softcap ${about.Softcap}`,
    about["Token strings"] === null ? null : `strings of ${about["Token strings"]}`, about.Version];
  document.getElementById("sub").textContent = parts.filter(Boolean).join(" · ");
  command.hidden = !about.Command;
  command.textContent = about.Command;
  const large = element("div", { class: "large" }), small = element("dl", { class: "small" });
  for (const figure of DATA.figures) (figure.unit === undefined ? small : large).append(figureNode(figure));
  document.getElementById("figures").append(large, small);
  const notes = document.getElementById("notes");
  notes.hidden = !DATA.notes.length;
  notes.append(...DATA.notes.map((note) => element("li", {}, note)));
  const rows = DATA.about.map(([name, said]) => element("div", {}, element("dt", {}, name),
    element("dd", { class: said === null ? "missing" : "" }, said ?? "not given")));
  document.getElementById("about-rows").append(...rows);
}

function figureNode({ label, value: x, error, unit, kind }) {
  const show = SHOWN[kind] ?? number;
  const shown = show(x);
  if (unit === undefined) return element("div", {}, element("dt", {}, label), element("dd", {}, shown));
  const big = element("p", { class: "value" }, shown);
  if (typeof error === "number") big.append(element("span", { class: "error" }, `± ${kind ? show(error, 2) : number(error, 2)}`));
  return element("div", {}, element("p", { class: "label" }, label), big, element("p", { class: "unit" }, unit));
}

function listenToTheme() {
  const root = document.documentElement, buttons = [...document.querySelectorAll(".theme button")];
  const set = (theme) => {
    root.style.colorScheme = theme || "";
    buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.theme === theme)));
  };
  for (const button of buttons) button.addEventListener("click", () => set(button.dataset.theme));
}

// #token=17, as the page writes it into its address.
function goToAddress() {
  const match = /^#token=(\d+)$/.exec(location.hash);
  const k = match ? placeOf(Number(match[1])) : -1;
  if (k >= 0) select(k, { scroll: true, focus: true });
  return k >= 0;
}

function drawText() {
  if (!TOKENS.count) return;
  document.getElementById("reading").hidden = false;
  document.getElementById("text").classList.toggle("ids", TOKENS.bare);
  drawModes();
  listenToText();
  drawPage(0);
  setMode(state.mode);
  if (!goToAddress()) {
    const worst = DATA.worst.map(placeOf).find((k) => k >= 0 && k < PAGE);
    select(worst ?? 0, { address: false });
  }
  window.addEventListener("hashchange", goToAddress);
}

async function draw() {
  listenToTheme();
  drawHead();
  await unpackTokens();
  drawText();
  drawPositions();
  drawHistogram();
  drawCalibration();
  drawBuckets();
  drawWorst();
  drawStatistics();
  drawTable();
  document.documentElement.dataset.drawn = "yes";
}

draw().catch((error) => {
  const old = typeof DecompressionStream === "undefined";
  const said = old ? "This browser is too old for the page: it needs Chrome 123, Firefox 120, Safari 17.5 or later." : `The page could not be drawn: ${error.message}`;
  document.getElementById("main").prepend(element("p", { class: "notes" }, said));
});
