// What all sections share: the data, what the reader has chosen, and who wants to know when that changes.
import { type Group, type Score, type View, groupLabel, scoresOf } from "./data.ts";
import { get } from "./dom.ts";
import type { Mark } from "./figures.ts";
import { type State, fromHash, toHash } from "./state.ts";
import { type Theme, dark, light } from "./theme.ts";

type Key = keyof State;

export class App {
  state: State = fromHash(location.hash);
  readonly opIndex: Record<string, number> = {};
  private readonly listeners: { keys: Key[]; act: () => void }[] = [];
  private readonly known = new Map<Group, Score[]>();
  private readonly system = window.matchMedia("(prefers-color-scheme: dark)");

  constructor(readonly view: View) {
    view.run?.ops.name.forEach((name, i) => (this.opIndex[`_${name}`] = i));
    window.addEventListener("hashchange", () => this.take(fromHash(location.hash)));
    this.system.addEventListener("change", () => this.changed(["theme"]));
    this.showTheme();
  }

  // Calls `act` now, and whenever one of the keys changes.
  on(keys: Key[], act: () => void): void {
    this.listeners.push({ keys, act });
    act();
  }

  set(change: Partial<State>): void {
    const next = { ...this.state, ...change };
    const hash = toHash(next);
    if (hash === toHash(this.state)) return;
    const address = hash || location.pathname + location.search;
    // What is looked at can be gone back from; a letter of the filter cannot.
    if ("op" in change || "recipe" in change) history.pushState(null, "", address);
    else history.replaceState(null, "", address);
    this.take(next);
  }

  private take(next: State): void {
    const keys = (Object.keys(next) as Key[]).filter((key) => next[key] !== this.state[key]);
    this.state = next;
    if (keys.length > 0) this.changed(keys);
  }

  private changed(keys: Key[]): void {
    if (keys.includes("theme")) this.showTheme();
    for (const { keys: wanted, act } of this.listeners) if (wanted.some((key) => keys.includes(key))) act();
  }

  isDark(): boolean {
    return this.state.theme === "dark" || (this.state.theme !== "light" && this.system.matches);
  }

  theme = (): Theme => (this.isDark() ? dark : light);

  private showTheme(): void {
    document.documentElement.dataset.theme = this.isDark() ? "dark" : "light";
  }

  get groups(): Group[] {
    return this.view.run?.groups ?? [];
  }

  // The group of a label, the first where there is no such.
  group(label = this.state.format): Group | undefined {
    return this.groups.find((g) => this.label(g) === label) ?? this.groups[0];
  }

  label(group: Group): string {
    return groupLabel(group, this.groups);
  }

  scores(group: Group): Score[] {
    let scores = this.known.get(group);
    if (!scores && this.view.run) this.known.set(group, (scores = scoresOf(this.view.run, group)));
    return scores ?? [];
  }

  // To the op of a mark, if it has one.
  open = (mark: Mark): void => {
    const name = mark.op === undefined ? undefined : this.view.run?.ops.name[mark.op];
    if (name !== undefined) this.openOp(name);
  };

  openOp(name: string): void {
    this.set({ op: name });
    const panel = get("op");
    panel.scrollIntoView({ block: "start" });
    panel.querySelector<HTMLElement>("h2")?.focus({ preventScroll: true });
  }
}
