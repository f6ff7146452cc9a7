// The words of the page, in one sentence each.

export const WORDS: Record<string, { title: string; text: string }> = {
  kl: {
    title: "KL per position",
    text: "How far the quantized model's prediction of the next token is from the float model's, in nats, as a mean over the positions of the data; 0 is no change.",
  },
  interval: {
    title: "95 % interval",
    text: "Where the mean over other samples of this kind of data may lie; where the intervals of two ops overlap widely, their order is open.",
  },
  rank: { title: "Rank", text: "1 is the most sensitive op: the first to keep in higher precision." },
  op: { title: "Op", text: "One linear map of the model that can be quantized, under its name in the checkpoint." },
  tower: { title: "Tower", text: "The part of the model that an op belongs to: vision, projector or language." },
  role: { title: "Role", text: "What an op is within its layer, such as q_proj or down_proj." },
  share: {
    title: "Share",
    text: "The op's part of the errors of all single ops added up; errors of many ops together are not exactly their sum.",
  },
  sqnr: {
    title: "Local SQNR",
    text: "Signal over quantization error at the op's own output, in decibel; it says how well the format fits the op, and nothing of what follows.",
  },
  outliers: {
    title: "Outlier ratio",
    text: "The largest input of the op over the typical one (root mean square); a large ratio stretches the range of the format.",
  },
  range: { title: "Largest input", text: "The largest absolute value of the op's input on the data." },
  relative: { title: "Relative error", text: "The size of the error of the op's own output over the size of the output." },
  bits: { title: "Bits per weight", text: "What the format stores for each weight, scales included; float is 16." },
  status: {
    title: "Status",
    text: "ok is measured, spread is copied from an op of the same role, and an op with any other status has no number: unexercised, uncalibrated, non_finite or skipped.",
  },
  method: { title: "Method", text: "exact is measured at the output of the model; everything else is an estimate or a forecast." },
  flips: { title: "Flips", text: "The share of positions at which another token becomes the most likely one." },
  perplexity: {
    title: "Perplexity ratio",
    text: "The quantized model's perplexity on the data over the float model's; it can be below 1 by chance, so judge by KL.",
  },
  reliability: {
    title: "Reliability",
    text: "How well the order agrees between random halves of the samples (Spearman); below 0.8 it must not be taken for a ranking.",
  },
  everything: { title: "Everything quantized", text: "The error with every op in the format at once, measured." },
  together: {
    title: "Ratio",
    text: "The error of the group over the sum of its ops' own errors: above 1, errors grow together faster than they add up.",
  },
  predicted: {
    title: "Predicted",
    text: "The error of a recipe as foretold from the scores of its ops; measure it with `qsweep eval` before you rely on it.",
  },
  recipe: { title: "Recipe", text: "Which format every op gets." },
  spearman: { title: "Spearman", text: "How alike two orders are: 1 is the same, 0 unrelated, -1 the reverse." },
};
