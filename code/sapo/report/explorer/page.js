// The page: the list (only the rows in view exist), keys, and the address that remembers what is shown.

const ROW = 56; // pixels; page.css: --row
const AROUND = 6; // rows kept beyond the edges of the view

/** Make the i-th of the shown trajectories the one that is read. */
function choose(place) {
  state.chosen = Math.min(Math.max(place, 0), Math.max(state.shown.length - 1, 0));
  const trajectory = state.shown[state.chosen];
  reveal();
  const nothing = make("p", { class: "nothing" }, "No trajectory passes these filters.");
  at("trajectory").replaceChildren(...(trajectory ? trajectoryParts(trajectory, data) : [nothing]));
  at("trajectory").scrollTop = 0;
  if (trajectory) at("back").addEventListener("click", leave);
  clearTimeout(state.remembering); // browsers refuse to change the address many times a second
  state.remembering = setTimeout(remember, 250, trajectory);
}

/** Scroll the list to the chosen trajectory. */
function reveal() {
  const list = at("list");
  const top = state.chosen * ROW;
  if (top < list.scrollTop) list.scrollTop = top;
  else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
  renderRows();
  if (state.shown.length) list.setAttribute("aria-activedescendant", `row-${state.chosen}`);
  else list.removeAttribute("aria-activedescendant");
}

/** Rows in view and a few around them. */
function renderRows() {
  const list = at("list");
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - AROUND);
  const last = Math.min(state.shown.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + AROUND);
  const rows = [];
  for (let place = first; place < last; place += 1) rows.push(listRow(state.shown[place], place));
  at("rows").replaceChildren(...rows);
}

function listRow(trajectory, place) {
  const { question, round, labelling } = trajectory;
  const last = trajectory.name.split("/").pop();
  const notes = [`round ${round.number}`];
  if (labelling) notes.push(labelling.case.length === 1 ? `(${labelling.case})` : labelling.case.replace("_", " "));
  if (labelling && labelling.agreement && labelling.agreement !== "agrees") notes.push("≠ truth");
  const cells = trajectory.steps.map((_, i) => stripCell(trajectory, i + 1));
  const row = make(
    "div",
    {
      class: "row", id: `row-${place}`, role: "option", "data-place": place, "aria-selected": place === state.chosen,
      "aria-setsize": state.shown.length, "aria-posinset": place + 1,
    },
    make(
      "div", { class: "row-head" },
      make("span", { class: "verdict", title: VERDICTS[trajectory.verdict] }, VERDICTS[trajectory.verdict].slice(0, 1)),
      make("span", { class: "row-name" }, `${question.id.split("/").slice(1).join("/") || question.id} · ${last}`),
      make("span", { class: "row-note" }, notes.join(" · ")),
    ),
    make("div", { class: "strip", "aria-hidden": "true" }, ...cells),
  );
  row.style.top = `${place * ROW}px`;
  return row;
}

/** A step as a small square: ✖ the true first error, t^ the detected step, ● the labelled first error. */
function stripCell({ labelling, labels, scores, firstError: wrong }, j) {
  const errors = `${wrong === j ? "✖" : ""}${labels && firstError(labels) === j ? "●" : ""}`;
  const detected = labelling && labelling.detected === j ? "t^" : "";
  const score = scores[j - 1];
  const cell = make("span", { class: score === undefined ? "unscored" : "scored" }, errors || detected);
  return score === undefined ? cell : paint(cell, score);
}

/** Put the filters and the chosen trajectory into the address, so that it can be handed on. */
function remember(trajectory) {
  const said = new URLSearchParams();
  for (const name of [...Object.keys(CHOICES), "words"]) if (at(name).value) said.set(name, at(name).value);
  if (trajectory) said.set("at", trajectory.key);
  history.replaceState(null, "", `#${said}`);
}

/** Filters and chosen trajectory from the address; what does not exist is left out. */
function recall() {
  const said = new URLSearchParams(location.hash.slice(1));
  at("words").value = said.get("words") ?? "";
  for (const [name, choices] of Object.entries(CHOICES)) {
    const value = said.get(name) ?? "";
    at(name).replaceChildren(make("option", { value: value in choices ? value : "" }));
  }
  filter();
  const place = state.shown.findIndex((trajectory) => trajectory.key === said.get("at"));
  if (place > 0) choose(place);
}

function read() {
  document.body.classList.add("reading");
  at("trajectory").focus();
}

function leave() {
  document.body.classList.remove("reading");
  at("list").focus();
  reveal();
}

function unfoldAll() {
  const all = [...document.querySelectorAll("details.rollouts")];
  const open = all.some((details) => !details.open);
  for (const details of all) details.open = open;
}

const THEMES = ["as the system", "light", "dark"];

function nextTheme() {
  const now = document.documentElement.dataset.theme ?? THEMES[0];
  setTheme(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]);
}

function setTheme(theme) {
  if (theme === THEMES[0]) delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  at("theme").textContent = `Colours: ${theme}`;
}

function showAll() {
  for (const name of [...Object.keys(CHOICES), "words"]) at(name).value = "";
  filter();
}

const KEYS = {
  j: () => choose(state.chosen + 1),
  k: () => choose(state.chosen - 1),
  o: unfoldAll,
  x: showAll,
  t: nextTheme,
  "?": () => at("help").showModal(),
  "/": () => {
    leave();
    at("words").focus();
    at("words").select();
  },
};
// These mean something else in the article and on buttons.
const LIST_KEYS = {
  ArrowDown: KEYS.j,
  ArrowUp: KEYS.k,
  PageDown: () => choose(state.chosen + 10),
  PageUp: () => choose(state.chosen - 10),
  Home: () => choose(0),
  End: () => choose(state.shown.length - 1),
  Enter: read,
};

function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || at("help").open) return;
  const target = event.target;
  if (event.key === "Escape") return void leave();
  if (target.matches("input, select, textarea")) {
    if (target !== at("words") || !["Enter", "ArrowDown"].includes(event.key)) return;
    event.preventDefault();
    return void at("list").focus();
  }
  const inList = target === at("list") || target === document.body;
  const action = KEYS[event.key] ?? (inList ? LIST_KEYS[event.key] : undefined);
  if (!action) return;
  event.preventDefault();
  action();
}

function start() {
  const { about, rounds } = data;
  at("title").textContent = `${about.method} on ${about.task}`;
  const all = rounds.reduce((sum, round) => sum + round.different, 0);
  const some = all > data.trajectories.length ? `; a part of ${counted(all, "trajectory", "trajectories")}` : "";
  at("about").textContent = `${about.model}, profile ${about.profile}, seed ${about.seed}${some}`;
  for (let score = 0; score <= 1000; score += 100) {
    at("scale").append(paint(make("span", { class: "scored" }, (score / 1000).toFixed(1)), score));
  }
  setTheme(THEMES[0]);
  document.addEventListener("keydown", onKey);
  at("filters").addEventListener("submit", (event) => event.preventDefault());
  at("filters").addEventListener("input", filter);
  at("reset").addEventListener("click", showAll);
  at("list").addEventListener("scroll", () => requestAnimationFrame(renderRows));
  at("list").addEventListener("click", (event) => {
    const row = event.target.closest(".row");
    if (!row) return;
    choose(Number(row.dataset.place));
    at("list").focus();
    if (matchMedia("(max-width: 48rem)").matches) read();
  });
  at("theme").addEventListener("click", nextTheme);
  at("help-open").addEventListener("click", () => at("help").showModal());
  addEventListener("resize", renderRows);
  addEventListener("hashchange", recall);
  recall();
  at("list").focus();
}

start();
