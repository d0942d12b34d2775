// What the SDK rejects and throws with, and the split of codes into those that end and those that pass.

/** A fault that the service named (`code` is its number) or that the SDK found itself. */
export class TickcastError extends Error {
  override readonly name = "TickcastError";
  readonly code: number | undefined;

  constructor(message: string, code?: number, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

/** 44xx: do not come back unchanged. */
export const isFinal = (code: number | undefined): boolean => code !== undefined && code >= 4400 && code < 4500;

/** The service does not know on whose behalf we come, or not any more. */
export const NOT_AUTHENTICATED = 4401;
/** There is no right to that. */
export const NOT_ENTITLED = 4403;

export const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
