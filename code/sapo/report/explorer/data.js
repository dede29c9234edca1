// The packed arrays that render.py wrote, as objects.

/** Rounds, questions, and trajectories that know their round and question. */
function readData({ about, rounds, questions, trajectories }) {
  const known = {
    about,
    rounds: rounds.map(([number, labeller, suspects, different]) => ({ number, labeller, suspects, different })),
    questions: questions.map(([id, prompt, answer]) => ({ id, prompt, answer })),
  };
  known.trajectories = trajectories.map((packed) => readTrajectory(packed, known));
  return known;
}

function readTrajectory(packed, { rounds, questions }) {
  const [round, question, name, verdict, times, steps, scores, labels, wrong, labelled] = packed;
  const found = { round: rounds[round], question: questions[question], name, verdict, times, steps, scores, labels };
  found.firstError = wrong;
  found.labelling = labelled && readLabelling(labelled);
  found.key = `${found.round.number}:${found.question.id}/${name}`;
  found.kinds = {
    round: [`${found.round.number}`],
    outcome: verdict === "right" && wrong > 0 ? [verdict, "flawed"] : [verdict],
    case: [labelled ? found.labelling.case : "none"],
    truth: kindsOfTruth(found.labelling),
  };
  return found;
}

function readLabelling([kind, asked, detected, suspicion, agreement, rollouts]) {
  return { case: kind, asked, detected, suspicion, agreement, rollouts: rollouts.map(readRollout) };
}

function readRollout([position, number, verdict, steps, scores, labels, wrong]) {
  return { position, number, verdict, steps, scores, labels, firstError: wrong };
}

function kindsOfTruth(labelling) {
  if (!labelling || !labelling.agreement) return [];
  return labelling.agreement === "agrees" ? ["agrees"] : ["differs", labelling.agreement];
}
