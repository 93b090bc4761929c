// Figures in SVG, drawn at the width that they have, and drawn again when it changes.

function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, content] of Object.entries(attributes)) made.setAttribute(key, content);
  made.append(...children);
  return made;
}

const said = (text) => svg("title", {}, text);

// A section with a title, a sentence and a drawing: draw(width) gives its height and its nodes.
function chart(id, title, sentence, draw, ...more) {
  const section = document.getElementById(id);
  const holder = element("div", { class: "drawing" });
  section.hidden = false;
  section.append(element("h2", {}, title), element("p", { class: "sub" }, sentence), holder, ...more);
  let before = 0;
  const redraw = () => {
    const width = Math.floor(holder.clientWidth);
    if (!width || width === before) return;
    before = width;
    const { height, nodes } = draw(width);
    holder.replaceChildren(svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title}. ${sentence}` }, ...nodes));
  };
  new ResizeObserver(redraw).observe(holder);
  redraw();
}

function niceTicks(low, high, about) {
  const rough = (high - low) / about || 1, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((step) => step >= rough * 0.999);
  const ticks = [];
  for (let x = Math.ceil(low / step - 1e-9) * step; x <= high + step * 1e-6; x += step) ticks.push(Number(x.toPrecision(10)));
  return ticks;
}

const short = (x) => (Math.abs(x) >= 10000 ? `${x / 1000}k` : String(x)).replace("-", "−");

// Axes of a frame: x(v) and y(v) place numbers; ticks are [number, label] pairs.
function axes(frame, xTicks, yTicks, xName, yName) {
  const nodes = [];
  for (const [at, label] of yTicks) {
    nodes.push(svg("line", { class: "grid", x1: frame.left, x2: frame.right, y1: frame.y(at), y2: frame.y(at) }));
    nodes.push(svg("text", { class: "tick end", x: frame.left - 8, y: frame.y(at) + 4 }, label));
  }
  for (const [at, label] of xTicks) nodes.push(svg("text", { class: "tick middle", x: frame.x(at), y: frame.bottom + 18 }, label));
  nodes.push(svg("line", { class: "axis", x1: frame.left, x2: frame.right, y1: frame.bottom, y2: frame.bottom }));
  nodes.push(svg("text", { class: "name end", x: frame.right, y: frame.bottom + 36 }, xName));
  nodes.push(svg("text", { class: "name", x: 0, y: 11 }, yName));
  return nodes;
}

function makeFrame(width, height, xs, ys) {
  const frame = { left: 44, right: width - 10, top: 26, bottom: height - 42 };
  frame.x = (v) => frame.left + ((v - xs[0]) / (xs[1] - xs[0] || 1)) * (frame.right - frame.left);
  frame.y = (v) => frame.bottom - ((v - ys[0]) / (ys[1] - ys[0] || 1)) * (frame.bottom - frame.top);
  return frame;
}

let positionFrame = null;

function drawPositions() {
  const stretches = DATA.positions.filter((each) => each.count);
  if (!stretches.length) return;
  const kl = DATA.kind === "compare", what = kl ? "KL(P‖Q)" : "NLL";
  const lone = DATA.tokens.size <= DATA.tokens.length;
  const each = (DATA.positions[0].end - DATA.positions[0].first) * Math.max(1, DATA.tokens.size / DATA.tokens.length);
  const dots = lone && TOKENS.count <= 4000 && TOKENS.count === DATA.tokens.size;
  const sentence = `The line is the mean of about ${whole(Math.round(each))} tokens, the band ± its standard error` +
    (dots ? "; dots are tokens." : lone ? "." : ", over all texts together.");
  chart("positions", `${what} by position`, sentence, (width) => positionNodes(width, stretches, dots, what));
}

function positionNodes(width, stretches, dots, what) {
  const height = 250, of = DATA.kind === "compare" ? "kl_pq" : "surprisal";
  const error = (each) => (typeof each.error === "number" ? each.error : 0);
  let top = Math.max(...stretches.map((each) => each.mean + error(each)));
  if (dots) for (let k = 0; k < TOKENS.count; k++) if (Number.isFinite(value(of, k))) top = Math.max(top, value(of, k));
  const frame = makeFrame(width, height, [0, DATA.tokens.length], [0, top * 1.04 || 1]);
  const xTicks = niceTicks(0, DATA.tokens.length, width / 90).filter(Number.isInteger).map((x) => [x, short(x)]);
  const nodes = axes(frame, xTicks, niceTicks(0, top * 1.04 || 1, 4).map((y) => [y, short(y)]), "position", `${what}, nats`);
  const middle = (each) => frame.x((each.first + each.end) / 2);
  const line = (of) => stretches.map((each) => `${middle(each).toFixed(1)},${frame.y(Math.max(0, of(each))).toFixed(1)}`);
  const band = [...line((each) => each.mean + error(each)), ...line((each) => each.mean - error(each)).reverse()];
  nodes.push(svg("polygon", { class: "band", points: band.join(" ") }));
  if (dots) nodes.push(svg("g", { class: "dots" }, ...tokenDots(frame, of)));
  nodes.push(svg("polyline", { class: "line", points: line((each) => each.mean).join(" ") }));
  for (const each of stretches) {
    const place = `positions ${whole(each.first)} to ${whole(each.end - 1)}`;
    const words = `${place}: ${number(each.mean, 3)} ± ${number(each.error, 2)}, ${whole(each.count)} tokens`;
    if (stretches.length < 40 || !dots) {
      nodes.push(svg("circle", { class: "knot", cx: middle(each), cy: frame.y(each.mean), r: 3 }, said(words)));
    }
  }
  nodes.push(svg("line", { class: "here", y1: frame.top, y2: frame.bottom, id: "here" }));
  positionFrame = frame;
  queueMicrotask(() => markPosition(state.selected));
  return { height, nodes };
}

function tokenDots(frame, of) {
  const made = [];
  for (let k = 0; k < TOKENS.count; k++) {
    const x = value(of, k);
    if (!Number.isFinite(x)) continue;
    const dot = svg("circle", { cx: frame.x(TOKENS.at[k] + 0.5).toFixed(1), cy: frame.y(x).toFixed(1), r: TOKENS.count > 800 ? 1.6 : 2.6 });
    if (TOKENS.count <= 800) dot.append(said(`${spokenToken(value("token", k))}: ${number(x, 3)}`));
    dot.addEventListener("click", () => select(k, { scroll: true, focus: true }));
    made.push(dot);
  }
  return made;
}

function markPosition(k) {
  const line = document.getElementById("here");
  if (!line || !positionFrame || k < 0) return;
  const x = positionFrame.x((TOKENS.at[k] % DATA.tokens.length) + 0.5);
  line.setAttribute("x1", x);
  line.setAttribute("x2", x);
}

function drawHistogram() {
  const { edges, counts } = DATA.histogram;
  const kl = DATA.kind === "compare";
  if (!counts.length) return;
  const marks = DATA.marks.filter(([, at]) => typeof at === "number" && (!kl || at > 0));
  const named = marks.map(([name, at]) => `${name} ${number(at, 3)}`).join(", ");
  const zeros = kl && DATA.zeros ? ` ${whole(DATA.zeros)} tokens of KL 0 are not drawn.` : "";
  chart("histogram", kl ? "How KL is spread" : "How surprisal is spread", `${named} nats.${zeros}`, (width) => {
    const scale = kl ? Math.log10 : (x) => x, height = 270;
    const ends = [scale(edges[0]), scale(edges[edges.length - 1])], most = Math.max(...counts);
    const frame = makeFrame(width, height, ends, [0, most * 1.06]);
    frame.top += 22;
    const about = width / 70, decades = kl ? niceTicks(ends[0], ends[1], about).filter(Number.isInteger) : [];
    const xTicks = kl ? decades.map((x) => [x, number(10 ** x, 1)]) : niceTicks(...ends, about).map((x) => [x, short(x)]);
    const yTicks = niceTicks(0, most * 1.06, 4).filter(Number.isInteger).map((y) => [y, short(y)]);
    const nodes = axes(frame, xTicks, yTicks, kl ? "KL(P‖Q), nats, logarithmic" : "surprisal, nats", "tokens");
    counts.forEach((count, j) => {
      const left = frame.x(scale(edges[j])), right = frame.x(scale(edges[j + 1]));
      const words = `${number(edges[j], 3)} to ${number(edges[j + 1], 3)}: ${whole(count)} tokens`;
      nodes.push(svg("rect", { class: "column", x: left + 0.5, width: Math.max(0.5, right - left - 1),
        y: frame.y(count), height: frame.bottom - frame.y(count) }, said(words)));
    });
    return { height, nodes: [...nodes, ...markNodes(frame, marks, scale)] };
  });
}

// Lines at the percentiles, with their names one above the other where they would meet.
function markNodes(frame, marks, scale) {
  const nodes = [];
  let end = -Infinity, row = 0;
  for (const [name, at] of marks) {
    const x = frame.x(scale(at)), left = x > frame.right - 60, long = 8 + 7 * name.length;
    row = (left ? x - long : x) < end ? row + 1 : 0;
    end = Math.max(end, left ? x : x + long);
    const y = 26 + 13 * row;
    nodes.push(svg("line", { class: "mark", x1: x, x2: x, y1: y - 9, y2: frame.bottom }));
    nodes.push(svg("text", { class: `mark-name ${left ? "end" : ""}`, x: x + (left ? -4 : 4), y }, name));
  }
  return nodes;
}

function drawCalibration() {
  const bins = DATA.calibration?.filter((bin) => bin.count);
  if (!bins?.length) return;
  const off = `Mean distance ${number(DATA.calibration_error, 2)}, of ten bins weighted by their counts.`;
  const sentence = `How often the most likely token was right, by its probability. ${off}`;
  const table = element("table", { class: "small" }, headRow(["Probability", "Tokens", "Said", "Right"]), element("tbody", {},
    ...DATA.calibration.map((bin) => cells([`${bin.low.toFixed(1)}–${bin.high.toFixed(1)}`, whole(bin.count),
      bin.count ? percent(bin.confidence) : "—", bin.count ? percent(bin.right) : "—"]))));
  chart("calibration", "Calibration", sentence, (width) => {
    const height = 270, frame = makeFrame(width, height, [0, 1], [0, 1]);
    const ticks = [0, 0.25, 0.5, 0.75, 1].map((x) => [x, `${100 * x} %`]);
    const nodes = axes(frame, ticks, ticks, "probability of the most likely token", "was right");
    nodes.push(svg("line", { class: "ideal", x1: frame.x(0), y1: frame.y(0), x2: frame.x(1), y2: frame.y(1) }));
    const most = Math.max(...bins.map((bin) => bin.count));
    for (const bin of bins) nodes.push(...calibrationNodes(frame, bin, most));
    return { height, nodes };
  }, element("details", { class: "more" }, element("summary", {}, "Counts of the ten bins"), table));
}

// A circle whose area is the count of the bin, with ± one standard error of the share.
function calibrationNodes(frame, bin, most) {
  const x = frame.x(bin.confidence), error = Math.sqrt((bin.right * (1 - bin.right)) / bin.count);
  const words = `said ${percent(bin.confidence)}, right ${percent(bin.right)}, ${whole(bin.count)} tokens`;
  return [
    svg("line", { class: "whisker", x1: x, x2: x, y1: frame.y(Math.min(1, bin.right + error)), y2: frame.y(Math.max(0, bin.right - error)) }),
    svg("circle", { class: "bin", cx: x, cy: frame.y(bin.right), r: 3 + 8 * Math.sqrt(bin.count / most) }, said(words)),
  ];
}

function drawBuckets() {
  const buckets = DATA.summary.buckets ?? [];
  if (!buckets.some((bucket) => bucket.count)) return;
  const sentence = "Mean KL(P‖Q) ± standard error, by the probability of P's most likely token.";
  chart("buckets", "KL by confidence of P", sentence, (width) => {
    const filled = buckets.filter((bucket) => bucket.count);
    const error = (bucket) => (Number.isFinite(bucket.kl_pq_error) ? bucket.kl_pq_error : 0);
    const most = Math.max(...filled.map((bucket) => bucket.kl_pq + error(bucket))) || 1;
    const left = 92, right = width - 78, nodes = [], length = (x) => ((right - left) * Math.max(0, x)) / most;
    buckets.forEach((bucket, j) => {
      const y = 18 + 48 * j, range = `${100 * bucket.low}–${100 * bucket.high} %`;
      nodes.push(svg("text", { class: "tick end", x: left - 12, y: y + 12 }, range));
      nodes.push(svg("text", { class: "name end", x: left - 12, y: y + 26 }, `${whole(bucket.count)} tokens`));
      if (!bucket.count) return;
      nodes.push(svg("rect", { class: "column", x: left, y, width: Math.max(1, length(bucket.kl_pq)), height: 24, rx: 2 }));
      if (error(bucket)) {
        const [x1, x2] = [bucket.kl_pq - error(bucket), bucket.kl_pq + error(bucket)].map((x) => left + length(x));
        nodes.push(svg("line", { class: "whisker", y1: y + 12, y2: y + 12, x1, x2 }));
      }
      nodes.push(svg("text", { class: "tick", x: right + 12, y: y + 16 }, number(bucket.kl_pq, 3)));
    });
    return { height: 18 + 48 * buckets.length, nodes };
  });
}
