// The form that asks for a token, where the service wants one and the address has none.

import { byId, setText } from "./elements.js";

export class TokenForm {
  readonly #dialog = byId<HTMLDialogElement>("token");
  readonly #text = byId<HTMLInputElement>("token-text");

  constructor(given: (token: string) => void) {
    this.#dialog.addEventListener("close", () => {
      const token = this.#text.value.trim();
      this.#text.value = "";
      if (this.#dialog.returnValue === "ok" && token) given(token);
    });
  }

  ask(why: string): void {
    setText(byId("token-why"), why ? `It said: ${why}.` : "It tells nobody prices whom it does not know.");
    if (!this.#dialog.open) this.#dialog.showModal();
  }
}
