// Light and dark: as the system says, or as chosen.

import type { Theme as Choice } from "./address.js";
import { byId, setText } from "./elements.js";

export class Theme {
  readonly #system = matchMedia("(prefers-color-scheme: light)");
  readonly #changed: () => void;
  #choice: Choice = "auto";

  /** `changed` hears when colours are other ones. */
  constructor(changed: () => void) {
    this.#changed = changed;
    this.#system.addEventListener("change", () => this.#apply());
  }

  choose(choice: Choice): void {
    this.#choice = choice;
    setText(byId("theme-switch"), `Theme: ${choice}`);
    this.#apply();
  }

  #apply(): void {
    const system = this.#system.matches ? "light" : "dark";
    const theme = this.#choice === "auto" ? system : this.#choice;
    if (document.documentElement.dataset.theme === theme) return;
    document.documentElement.dataset.theme = theme;
    this.#changed();
  }
}
