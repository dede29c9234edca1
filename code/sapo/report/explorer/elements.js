"use strict";
// Small parts that the page is made of. Text from the data goes through `textContent` alone, never through HTML.

/** An element with attributes (`class`, `title`, …) and children: elements, or texts. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== "" && child !== null));
  return element;
}

// From dark brown (0) over orange to pale blue (1). Luminance rises all the way, so that a grey print keeps the order,
// and red and green never stand against each other.
const STOPS = [[92, 26, 0], [178, 78, 10], [226, 148, 62], [238, 205, 150], [226, 243, 253]];

/** [background, ink] of a score in thousandths; the ink is the one of black and white that is read more easily. */
function colours(score) {
  const place = (Math.min(Math.max(score, 0), 1000) / 1000) * (STOPS.length - 1);
  const low = Math.min(Math.floor(place), STOPS.length - 2);
  const mixed = STOPS[low].map((from, i) => Math.round(from + (STOPS[low + 1][i] - from) * (place - low)));
  return [`rgb(${mixed.join(", ")})`, luminance(mixed) > 0.18 ? "#000" : "#fff"];
}

/** Relative luminance (WCAG 2) of sRGB bytes. */
function luminance(bytes) {
  const [red, green, blue] = bytes.map((byte) => {
    const value = byte / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** Give an element the colours of a score. */
function paint(element, score) {
  const [back, ink] = colours(score);
  element.style.setProperty("--score", back);
  element.style.setProperty("--ink", ink);
  return element;
}

/** A score as a coloured chip with its number. */
function chip(score) {
  return paint(make("span", { class: "chip scored" }, (score / 1000).toFixed(2)), score);
}

const VERDICTS = { right: "✓ right", wrong: "✗ wrong", unparsable: "? unparsable", grader_error: "! not judged" };

const CASES = {
  a: "(a) detection confirmed",
  b: "(b) error later than detected",
  c: "(c) error earlier than detected",
  known_correct: "known_correct: the right outcome",
  bisection: "bisection (omega)",
  every_step: "every step (shepherd)",
  outcome: "the outcome alone",
  none: "not labelled",
};

const CASE_SENTENCES = {
  a: "Case (a): step t^ can still end right and the step after it cannot. Detection was confirmed.",
  b: "Case (b): the step after t^ can still end right too. The error is later than detected.",
  c: "Case (c): step t^ can no longer end right. The error is earlier than detected.",
  known_correct: "Witness: its outcome is right, so every step can end right. No rollouts are needed.",
  bisection: "Bisection: rollouts closed in on the first error (omega).",
  every_step: "Rollouts were drawn at every step (shepherd).",
  outcome: "Every step has the label of the outcome.",
};

const AGREEMENTS = {
  agrees: "labels are true",
  differs: "labels differ from the truth",
  early: "… first error named too early",
  late: "… first error named too late",
  alarm: "… error named where there is none",
  missed: "… error missed",
  beyond: "… later labels differ",
};

/** The label 0 or 1 in words. */
function labelled(digit) {
  return digit === "1" ? "1 good" : "0 bad";
}

/** The noun behind its number. */
function counted(number, noun, many = `${noun}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? noun : many}`;
}
