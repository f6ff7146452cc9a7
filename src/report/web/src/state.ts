// What the reader has chosen, kept in the address so that it can be passed on: #format=w8a8&op=lm_head

export interface State {
  format: string; // label of the group; the first where empty
  op: string;
  recipe: string;
  versus: string; // the format to compare with
  filter: string;
  tower: string;
  sort: string; // column, "-" before it for descending
  theme: string; // "light", "dark", or empty: as the system has it
}

const EMPTY: State = { format: "", op: "", recipe: "", versus: "", filter: "", tower: "", sort: "", theme: "" };

export const initial = (): State => ({ ...EMPTY });

export function fromHash(hash: string): State {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const state = initial();
  for (const key of Object.keys(state) as (keyof State)[]) state[key] = given.get(key) ?? "";
  return state;
}

// Only what was chosen.
export function toHash(state: State): string {
  const kept = new URLSearchParams();
  for (const key of Object.keys(EMPTY) as (keyof State)[]) if (state[key] !== "") kept.set(key, state[key]);
  const text = kept.toString();
  return text === "" ? "" : `#${text}`;
}
