// Which trajectories are shown: four selects, each with how many trajectories its choices leave, and words.

const at = (id) => document.getElementById(id);
const data = readData(JSON.parse(at("data").textContent));
const state = { shown: data.trajectories, chosen: 0, words: [], remembering: 0 };

// What a select may be set to, in order, and what it says.
const OUTCOMES = { right: VERDICTS.right, flawed: "✓ right, though a step is wrong", wrong: VERDICTS.wrong };
const CHOICES = {
  round: Object.fromEntries(data.rounds.map(({ number }) => [number, number ? `round ${number}` : "round 0 (start)"])),
  outcome: { ...OUTCOMES, unparsable: VERDICTS.unparsable, grader_error: VERDICTS.grader_error },
  case: CASES,
  truth: AGREEMENTS,
};

/** Whether a trajectory passes all filters but the one called `except`. */
function passes(trajectory, except = "") {
  for (const name of Object.keys(CHOICES)) {
    const value = at(name).value;
    if (name !== except && value && !trajectory.kinds[name].includes(value)) return false;
  }
  return state.words.every((word) => haystack(trajectory).includes(word));
}

/** Question, steps and name in one text for searching, made when it is first needed. */
function haystack(trajectory) {
  const { question, name, steps } = trajectory;
  trajectory.haystack ??= plain([question.id, name, question.prompt, question.answer, ...steps].join("\n"));
  return trajectory.haystack;
}

function plain(text) {
  return text.normalize("NFC").toLowerCase();
}

/** Show what passes the filters; keep the chosen trajectory if it is among it. */
function filter() {
  const before = state.shown[state.chosen];
  state.words = plain(at("words").value).split(/\s+/).filter(Boolean);
  for (const name of Object.keys(CHOICES)) fillSelect(name);
  state.shown = data.trajectories.filter((trajectory) => passes(trajectory));
  const all = counted(data.trajectories.length, "trajectory", "trajectories");
  at("count").textContent = `${state.shown.length.toLocaleString("en")} of ${all}`;
  at("rows").style.height = `${state.shown.length * ROW}px`;
  at("rows").replaceChildren();
  choose(Math.max(0, state.shown.indexOf(before)));
}

/** The choices of a select that the other filters leave, with how many trajectories each would show. */
function fillSelect(name) {
  const select = at(name);
  const value = select.value;
  const counts = new Map();
  let all = 0;
  for (const trajectory of data.trajectories) {
    if (!passes(trajectory, name)) continue;
    all += 1;
    for (const kind of trajectory.kinds[name]) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  const options = [make("option", { value: "" }, `all (${all.toLocaleString("en")})`)];
  for (const [kind, said] of Object.entries(CHOICES[name])) {
    if (!counts.has(kind) && kind !== value) continue;
    options.push(make("option", { value: kind }, `${said} (${(counts.get(kind) ?? 0).toLocaleString("en")})`));
  }
  select.replaceChildren(...options);
  select.value = value;
}
