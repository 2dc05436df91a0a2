// A failure of the server as the extension passes it on: the server's own line, kind and next steps.
import type { ErrorData } from "./contract.gen.ts";
import { plain } from "./plain.ts";

const REQUEST_CANCELLED = -32800;

/** What a call of the server ended with. `message` is one line for people, composed by the server. */
export class Failure extends Error {
  readonly data: ErrorData;

  constructor(message: string, data: ErrorData) {
    super(plain(message));
    this.name = "Failure";
    this.data = data;
  }

  /** Whether the user ended it: nothing is to be said then. */
  get isCancelled(): boolean {
    return this.data.kind === "cancelled" || this.data.kind === "login-cancelled";
  }
}

/** Any error as a Failure; one that the server did not compose is `internal`. */
export function failureOf(error: unknown): Failure {
  if (error instanceof Failure) {
    return error;
  }
  const message = error instanceof Error ? error.message : String(error);
  const { code, data } = (typeof error === "object" && error !== null ? error : {}) as {
    code?: number;
    data?: unknown;
  };
  if (isErrorData(data)) {
    return new Failure(message, data);
  }
  const kind = code === REQUEST_CANCELLED ? "cancelled" : "internal";
  return new Failure(message, { kind, remedy: "" });
}

function isErrorData(data: unknown): data is ErrorData {
  return typeof data === "object" && data !== null && typeof (data as { kind?: unknown }).kind === "string";
}
