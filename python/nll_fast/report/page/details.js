// What is known of one token.

function showDetails(k) {
  const holder = document.getElementById("details");
  if (k < 0) return;
  const index = value("token", k), at = TOKENS.at[k], length = DATA.tokens.length;
  const where = DATA.tokens.size > length ? `text ${Math.floor(at / length)}, token ${whole(at % length)}` : `token ${whole(at)}`;
  const id = index < 0 ? "" : ` · id ${TOKENS.ids[index]}`;
  const children = [
    element("p", { class: "where" }, `${where}${id}`),
    element("p", { class: "spelled" }, tokenNode(index)),
  ];
  if (isIgnored(k)) children.push(element("p", { class: "aside" }, "Ignored: it counts in no number of this page."));
  else children.push(...(DATA.kind === "score" ? scoreDetails(k) : compareDetails(k)));
  holder.replaceChildren(...children);
}

function rows(pairs) {
  const list = element("dl", { class: "facts" });
  for (const [name, said] of pairs) list.append(element("div", {}, element("dt", {}, name), element("dd", {}, said)));
  return list;
}

function scoreDetails(k) {
  const surprisal = value("surprisal", k), rank = value("rank", k), ties = value("ties", k);
  const facts = rows([
    ["Probability", percent(Math.exp(-surprisal))],
    ["Log-probability", surprisal === 0 ? "0.000" : fixed(-surprisal)],
    ["Rank", rank > 0 ? whole(rank) + (ties > 0 ? ` (${whole(ties)} equal)` : "") : "none"],
    ["Entropy", `${fixed(value("entropy", k))}`],
  ]);
  return [facts, ...alternatives(k)];
}

function alternatives(k) {
  const token = value("token", k), others = [];
  for (let j = 0; TOKENS.column[`other${j}`]; j++) {
    if (value(`other${j}`, k) >= 0) others.push([value(`other${j}`, k), Math.exp(-value(`other_surprisal${j}`, k)), `${j + 1}`]);
  }
  if (!others.length) return [];
  const isTarget = ([other]) => TOKENS.ids[other] === TOKENS.ids[token];
  if (token >= 0 && !others.some(isTarget)) others.push([token, Math.exp(-value("surprisal", k)), whole(value("rank", k))]);
  return [element("h3", {}, "Most likely here"), bars(others.map((other) => [...other, isTarget(other)]))];
}

function bars(others) {
  const list = element("ol", { class: "bars" });
  for (const [index, share, place, isTarget] of others) {
    const fill = element("span", { class: "fill" });
    fill.style.width = `${Number.isFinite(share) ? 100 * share : 0}%`;
    const item = element("li", { class: isTarget ? "target" : "" }, element("span", { class: "place" }, place),
      element("span", { class: "word" }, tokenNode(index)), element("span", { class: "share" }, percent(share)),
      element("span", { class: "track" }, fill));
    list.append(item);
  }
  return list;
}

function compareDetails(k) {
  const p = value("p_surprisal", k), q = value("q_surprisal", k);
  const pairs = [
    ["KL(P‖Q)", number(value("kl_pq", k), 3)], ["KL(Q‖P)", number(value("kl_qp", k), 3)],
    ["Jensen–Shannon", number(value("js", k), 3)], ["Total variation", number(value("total_variation", k), 3)],
    ["Entropy of P", fixed(value("entropy", k))], ["P is sure by", percent(Math.exp(-value("p_max_surprisal", k)))],
  ];
  const inOrder = value("in_order", k) ? ", in order" : "";
  if (DATA.top_k) pairs.push([`Top-${DATA.top_k} shared`, `${whole(value("overlap", k))} of ${DATA.top_k}${inOrder}`]);
  if (p !== undefined) pairs.unshift(["Δ log-probability", signed(q === p ? 0 : p - q)]);
  const made = [rows(pairs)];
  if (p !== undefined) {
    made.push(element("h3", {}, "This token"), duel("P", Math.exp(-p), null, "Q", Math.exp(-q), null));
  }
  made.push(element("h3", {}, value("p_argmax", k) === value("q_argmax", k) ? "Most likely in both" : "Most likely"),
    rows([["P", element("span", {}, tokenNode(value("p_argmax", k)))], ["Q", element("span", {}, tokenNode(value("q_argmax", k)))]]));
  return made;
}

function duel(...pair) {
  const list = element("ol", { class: "bars" });
  for (let j = 0; j < pair.length; j += 3) {
    const fill = element("span", { class: `fill ${pair[j].toLowerCase()}` });
    fill.style.width = `${Number.isFinite(pair[j + 1]) ? 100 * pair[j + 1] : 0}%`;
    list.append(element("li", {}, element("span", { class: "place" }, pair[j]), element("span", { class: "word" }, ""),
      element("span", { class: "share" }, percent(pair[j + 1])), element("span", { class: "track" }, fill)));
  }
  return list;
}

function signed(x, decimals = 3) {
  return (x > 0 ? "+" : "") + fixed(x, decimals);
}

// The same in one sentence, for those who listen.
function spokenDetails(k) {
  const name = `${spokenToken(value("token", k))}, token ${TOKENS.at[k]}`;
  if (isIgnored(k)) return `${name}: ignored`;
  if (DATA.kind === "compare") {
    const change = value("p_surprisal", k) === undefined ? "" : `, change of log-probability ${signed(delta(k))}`;
    return `${name}: KL ${number(value("kl_pq", k), 3)}${change}`;
  }
  return `${name}: log-probability ${fixed(-value("surprisal", k))}, probability ${percent(Math.exp(-value("surprisal", k)))}, ` +
    `rank ${whole(value("rank", k))}, entropy ${fixed(value("entropy", k))}, most likely ${spokenToken(value("other0", k))}`;
}
