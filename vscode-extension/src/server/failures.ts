// What can be wrong with the server itself, each with what to do.
import { VERSION } from "../contract.gen.ts";
import { Failure } from "../failure.ts";

/** It ended before it had answered, or is not there. */
export function serverGone(): Failure {
  const remedy = "Send it again in a moment";
  const message = `The Qwen server ended before it had answered. ${remedy}.`;
  return new Failure(message, { kind: "server-gone", remedy, retryable: true });
}

/** It was started again often enough. */
export function crashedTooOften(): Failure {
  const remedy = "Look at the output, then run “Qwen: Restart Server”";
  const message = `The Qwen server ends again and again and is not started any more. ${remedy}.`;
  return new Failure(message, { kind: "server-gone", remedy });
}

/** It ended before it could be talked to. */
export function cannotStart(command: string, error: unknown): Failure {
  const why = error instanceof Error ? error.message : String(error);
  const remedy = "Look at the output, or set qwenLs.server.path";
  return new Failure(`The Qwen server ${command} does not start: ${why}. ${remedy}.`, { kind: "no-server", remedy });
}

/** It is of another time than this extension. */
export function otherVersion(command: string, version: number | undefined): Failure {
  const remedy = "Update it, or clear qwenLs.server.path";
  const speaks = version === undefined ? "is no qwen-ls" : `speaks version ${version} of the protocol`;
  const message = `${command} ${speaks}, this extension needs version ${VERSION}. ${remedy}.`;
  return new Failure(message, { kind: "no-server", remedy });
}
