// The first words with a server: it answers in time, and speaks our version of the protocol, or it ends.
import { LanguageClient, type LanguageClientOptions } from "vscode-languageclient/node";
import { VERSION, type ServerCapabilities } from "../contract.gen.ts";
import { cannotStart, otherVersion } from "./failures.ts";
import type { Launch, Skipped } from "./launch.ts";
import { OURS } from "./options.ts";
import { GivenUp, Late, type Patience } from "./patience.ts";

const START_MS = 30_000; // a start takes a second or two; on a machine that is very busy, ten
const STOP_MS = 2000;
const TELL_MS = 5000; // for what is told at the start; it is there at once, unless the disk or the keyring of VS Code hangs

/** A client for a program; `cwd` is where it runs. */
export function clientOf(command: string, cwd: string, options: LanguageClientOptions): LanguageClient {
  const client = new LanguageClient("qwenLs", "Qwen", { command, args: ["serve", "--stdio"], options: { cwd } }, options);
  client.registerFeature(OURS);
  return client;
}

/** Why there is no connection, and what is to be tried in its place. */
export class NotConnected extends Error {
  readonly instead: Skipped | undefined;

  constructor(cause: Error, instead: Skipped | undefined) {
    super(cause.message, { cause });
    this.instead = instead;
  }
}

/**
 * Starts the server. Throws `GivenUp` or `NotConnected`: a `qwen-ls` on PATH that speaks another protocol gives way to
 * our own, and our own that ends at once to a new one, since its Python may have gone.
 */
export async function begin(client: LanguageClient, launch: Launch, patience: Patience): Promise<ServerCapabilities> {
  const { command, from } = launch;
  try {
    await patience.wait(client.start(), START_MS);
  } catch (error) {
    if (error instanceof GivenUp) {
      throw error;
    }
    throw new NotConnected(cannotStart(command, error), from === "own" && !(error instanceof Late) ? "own" : undefined);
  }
  const ours = capabilitiesOf(client);
  if (ours?.version !== VERSION) {
    throw new NotConnected(otherVersion(command, ours?.version), from === "path" ? "path" : undefined);
  }
  return ours;
}

/**
 * Tells a server that has started what it has to know before anybody else talks to it. What takes too long goes on
 * beside the rest. Throws `GivenUp` or `NotConnected`.
 */
export async function introduce(
  client: LanguageClient,
  launch: Launch,
  patience: Patience,
  telling: readonly Promise<void>[],
): Promise<void> {
  try {
    await patience.wait(Promise.allSettled(telling), TELL_MS);
  } catch (error) {
    if (!(error instanceof Late)) {
      throw error;
    }
  }
  if (!client.isRunning()) {
    throw new NotConnected(cannotStart(launch.command, "it ended at once"), undefined);
  }
}

function capabilitiesOf(client: LanguageClient): ServerCapabilities | undefined {
  const experimental = client.initializeResult?.capabilities.experimental as { qwen?: ServerCapabilities } | undefined;
  return experimental?.qwen;
}

/** Ends a client and its server: what it registered is free for the next one. Throws what went wrong, when it is done. */
export async function end(client: LanguageClient): Promise<void> {
  if (!client.isRunning()) {
    client.serverProcess?.kill("SIGKILL"); // it cannot be told to end before it has started, and may hang
  }
  await client.dispose(STOP_MS);
}
