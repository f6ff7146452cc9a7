// The sentence of a word, beside it while it is pointed at or focused.
import { h } from "./dom.ts";

const GAP = 6;

export function explainTerms(): void {
  const tip = h("div", { id: "term-tip", "aria-hidden": "true", hidden: true });
  document.body.append(tip);
  const show = (event: Event): void => {
    const word = (event.target as HTMLElement).closest?.<HTMLElement>(".term");
    if (!word) return hide();
    tip.textContent = word.dataset.tip ?? "";
    tip.hidden = false;
    const at = word.getBoundingClientRect();
    const below = at.bottom + GAP + tip.offsetHeight < innerHeight;
    tip.style.top = `${below ? at.bottom + GAP : at.top - GAP - tip.offsetHeight}px`;
    tip.style.left = `${Math.max(GAP, Math.min(at.left, innerWidth - tip.offsetWidth - GAP))}px`;
  };
  const hide = (): void => void (tip.hidden = true);
  document.addEventListener("mouseover", show);
  document.addEventListener("focusin", show);
  document.addEventListener("scroll", hide, true);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });
}
