// The protocol as the output shows it: no text of a document, which may be an `.env` file, and no proxy's password.
import type * as vscode from "vscode";

const LEFT_OUT = "(left out)";
const MESSAGE = /^((?:[^\n]*\n(?:Params|Result|Error data): )?)([{[][\s\S]*)$/; // as vscode-jsonrpc writes one

/** A line of the trace without what must not stand there. What cannot be read is left out whole. */
export function redacted(line: string): string {
  const [, head = "", body] = MESSAGE.exec(line) ?? [];
  if (body === undefined) {
    return line;
  }
  try {
    return head + JSON.stringify(JSON.parse(body), redact, 4);
  } catch {
    return head + LEFT_OUT;
  }
}

function redact(this: object, key: string, value: unknown): unknown {
  if (key === "contentChanges") {
    return LEFT_OUT;
  }
  if (typeof value !== "string") {
    return value;
  }
  if (key === "proxy") {
    return value.replace(/^([^@]*?:\/\/)?.*@/s, "$1…@");
  }
  const isDocument = key === "text" && ("uri" in this || "textDocument" in this); // opened, saved, or a selection of it
  return isDocument ? LEFT_OUT : value;
}

/** A log whose trace is redacted. The rest is the log itself. */
export function tracing(log: vscode.LogOutputChannel): vscode.LogOutputChannel {
  const trace: vscode.LogOutputChannel["trace"] = (message, ...args: unknown[]) => {
    log.trace(redacted(message), ...args);
  };
  const get = (_: object, name: PropertyKey): unknown => {
    const value: unknown = name === "trace" ? trace : Reflect.get(log, name, log);
    return typeof value === "function" ? (value.bind(log) as unknown) : value;
  };
  return new Proxy({}, { get }) as vscode.LogOutputChannel;
}
