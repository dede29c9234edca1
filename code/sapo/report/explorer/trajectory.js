// One trajectory: its question, its steps with all that is known of them, and the rollouts drawn behind a step.

/** Number of the first label 0, from 1; 0 where there is none. `labels` is a string of digits. */
function firstError(labels) {
  return labels.indexOf("0") + 1;
}

/** The true label of step j (from 1) as a digit; an empty text where it is not known. */
function truthAt(firstWrong, j) {
  if (firstWrong < 0) return "";
  return firstWrong && j >= firstWrong ? "0" : "1";
}

/** All about a trajectory, as the children of its article. */
function trajectoryParts(trajectory, data) {
  const { question, round, labelling } = trajectory;
  const parts = [
    make("button", { type: "button", id: "back" }, "← all trajectories"),
    make("h2", {}, `${question.id} · ${trajectory.name}`),
    facts(trajectory, data),
  ];
  if (labelling) parts.push(make("p", { class: "facts" }, labellingSentence(trajectory, data)));
  parts.push(make("div", { class: "prompt", id: "prompt" }, question.prompt.trimEnd()));
  const program = question.answer.trimEnd().includes("\n");
  const gold = make(program ? "div" : "span", { class: "answer" }, question.answer.trimEnd());
  parts.push(make("div", { class: "facts" }, program ? "Gold program:" : "Gold answer: ", gold));
  return [...parts, stepTable(trajectory, round)];
}

/** Round, outcome, reward, and how often it was drawn. */
function facts(trajectory, data) {
  const { scores, times, round } = trajectory;
  const wrong = trajectory.firstError;
  const parts = [`Round ${round.number} · `, make("b", { class: "verdict" }, VERDICTS[trajectory.verdict])];
  if (trajectory.verdict === "right" && wrong > 0) parts.push(", though a step is wrong");
  if (scores.length) {
    const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length / 1000;
    parts.push(" · reward (mean score) ", make("b", {}, mean.toFixed(3)));
  }
  parts.push(times ? ` · drawn ${times === 1 ? "once" : `${times} times`}` : " · gold rationale");
  if (wrong >= 0) parts.push(" · ", wrong ? `✖ true first error: step ${wrong}` : "no wrong step");
  return make("p", { class: "facts" }, ...parts);
}

/** What the labeller did and whether it is true, in words. */
function labellingSentence({ labelling, labels }, data) {
  const said = [CASE_SENTENCES[labelling.case]];
  if (labelling.asked.length) {
    said.push(`${data.about.rollouts} rollouts at most were drawn behind ${listed(labelling.asked)}.`);
  }
  const named = firstError(labels);
  said.push(named ? `The labels name step ${named} as the first error.` : "The labels name no error.");
  if (labelling.agreement === "agrees") said.push("That is true.");
  else if (labelling.agreement) said.push(`That is not true (${AGREEMENTS[labelling.agreement].replace("… ", "")}).`);
  return said.join(" ");
}

/** "step 3", "steps 3 and 4", "steps 2, 3 and 4": in the order of the steps. */
function listed(asked) {
  const steps = [...asked].sort((a, b) => a - b);
  if (steps.length === 1) return `step ${steps[0]}`;
  return `steps ${steps.slice(0, -1).join(", ")} and ${steps[steps.length - 1]}`;
}

/** The table of steps, with rollouts below the step that they continue. */
function stepTable(trajectory, round) {
  const { labelling, labels, steps } = trajectory;
  const columns = ["", "Step", ["V", make("sub", {}, `${round.number}`)]];
  if (labelling && labelling.suspicion.length) columns.push(["V", make("sub", {}, `${round.number - 1}`)]);
  if (labels) columns.push("Label");
  if (trajectory.firstError >= 0) columns.push("Truth");
  const heads = columns.map((parts, i) => {
    return make("th", { scope: "col", class: i === 1 ? "" : "short" }, ...[parts].flat());
  });
  const body = make("tbody");
  if (labelling && labelling.detected === 0) body.append(startRow(columns.length));
  steps.forEach((_, i) => {
    body.append(stepRow(trajectory, i + 1));
    const own = labelling ? labelling.rollouts.filter((rollout) => rollout.position === i + 1) : [];
    if (own.length) body.append(rolloutRow(own, trajectory, columns.length));
  });
  const head = make("thead", {}, make("tr", {}, ...heads));
  return make("table", { id: "steps" }, make("caption", {}, caption(trajectory, round)), head, body);
}

/** What the numbers in the columns are. */
function caption(trajectory, round) {
  if (!round.labeller) return "This round has no verifier: its rewards are the outcomes.";
  const by = `V${round.number}: scores that give the reward.`;
  const before = trajectory.labelling && trajectory.labelling.suspicion.length;
  return before ? `${by} V${round.number - 1}: scores that t^ was detected with.` : by;
}

/** t^ = 0: the last step believed good is the question itself. */
function startRow(columns) {
  const mark = make("span", { class: "mark" }, "t^ = 0: no step was believed good");
  const cell = make("td", { class: "long", colspan: columns - 1 }, mark);
  return make("tr", {}, make("th", { class: "number", scope: "row" }, "0"), cell);
}

function stepRow(trajectory, j) {
  const { labelling, labels, round, scores } = trajectory;
  const score = scores[j - 1];
  const text = make("div", { class: "step" }, trajectory.steps[j - 1].replace(/\n$/, ""));
  const cells = [
    make("th", { class: "number", scope: "row" }, `${j}`),
    make("td", { class: "long" }, text, stepMarks(trajectory, j)),
    make("td", { class: "short", "data-label": `V${round.number}` }, chip(score)),
  ];
  if (labelling && labelling.suspicion.length) {
    cells.push(make("td", { class: "short", "data-label": `V${round.number - 1}` }, chip(labelling.suspicion[j - 1])));
  }
  const truth = truthAt(trajectory.firstError, j);
  if (labels) {
    const differs = truth !== "" && truth !== labels[j - 1];
    const shown = `${differs ? "≠ " : ""}${labelled(labels[j - 1])}`;
    cells.push(make("td", { class: differs ? "short differs" : "short", "data-label": "label" }, shown));
  }
  if (truth) cells.push(make("td", { class: "short", "data-label": "truth" }, truth === "1" ? "✓ good" : "✗ bad"));
  const row = make("tr", { class: score === undefined ? "" : "scored-row" }, ...cells);
  return score === undefined ? row : paint(row, score);
}

/** Marks of a step in words: detection, truth, labels, and whether rollouts were asked. */
function stepMarks({ labelling, labels, firstError: wrong }, j) {
  const marks = [];
  if (wrong === j) marks.push(["mark true", "✖ true first error"]);
  if (labels && firstError(labels) === j) marks.push(["mark", "● labelled first error"]);
  if (labelling && labelling.detected === j) marks.push(["mark", "t^ last step believed good"]);
  if (labelling && labelling.detected === j - 1) marks.push(["mark suspect", "suspect: first error detected here"]);
  if (labelling && labelling.asked.includes(j)) marks.push(["mark asked", "rollouts asked"]);
  const shown = marks.map(([kind, text]) => make("span", { class: kind }, text));
  return shown.length ? make("div", { class: "marks" }, ...shown) : "";
}

/** The rollouts behind one step, folded. */
function rolloutRow(rollouts, trajectory, columns) {
  const { position } = rollouts[0];
  const right = rollouts.filter((rollout) => rollout.verdict === "right").length;
  const label = labelled(trajectory.labels[position - 1]);
  const said = `${counted(rollouts.length, "rollout")} on file behind step ${position}: ${right} right; label ${label}`;
  const blocks = rollouts.map((rollout) => rolloutBlock(rollout));
  const details = make("details", { class: "rollouts" }, make("summary", {}, said), ...blocks);
  return make("tr", {}, make("td", { class: "empty" }), make("td", { class: "long", colspan: columns - 1 }, details));
}

function rolloutBlock(rollout) {
  const items = rollout.steps.map((text, i) => {
    const j = rollout.position + i + 1;
    const wrong = rollout.firstError === j ? make("span", { class: "mark true" }, "✖ true first error") : "";
    const step = make("span", { class: "step" }, text.replace(/\n$/, ""));
    const label = make("span", { class: "said" }, labelled(rollout.labels[i]));
    return make("li", {}, make("span", { class: "at" }, `${j}`), chip(rollout.scores[i]), label, step, wrong);
  });
  const inside = rollout.firstError > 0 && rollout.firstError <= rollout.position;
  const head = `Rollout ${rollout.number}: ${VERDICTS[rollout.verdict]}${inside ? " (the error is before it)" : ""}`;
  return make("div", { class: "rollout" }, make("p", { class: "verdict" }, head), make("ol", {}, ...items));
}
