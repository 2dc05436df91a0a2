// The server's own environment: a virtual environment in the extension's storage, made from the packed wheel.
import { createHash, randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import path from "node:path";
import { Failure } from "../failure.ts";
import { findOnPath, isExecutable, run, type Running } from "./programs.ts";

const OLDEST = [3, 10] as const; // what pyproject.toml requires
const PROBE_MS = 10_000;
const STALE_MS = 7 * 24 * 3600 * 1000; // a folder that nobody has used for a week is an older version's or a dead run's
const IS_WINDOWS = process.platform === "win32";
const NAMES = IS_WINDOWS ? ["python", "py"] : ["python3", "python", "python3.13", "python3.12", "python3.11", "python3.10"];
const PROBE = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])";

/** What making an environment needs. `report` says one line of what is going on. */
export interface Making {
  /** The folder to make it in. */
  readonly storage: string;
  /** The packed wheel. */
  readonly wheel: string;
  /** The interpreter that the user has set. */
  readonly python?: string | undefined;
  readonly environment: NodeJS.ProcessEnv;
  /** Folders whose programs are not run. */
  readonly refused: readonly string[];
  readonly report: (line: string) => void;
  readonly log: (text: string) => void;
  readonly signal?: AbortSignal;
}

/** The path of a finished environment's `qwen-ls`, if there is one for this wheel. */
export async function findEnvironment(storage: string, wheel: string): Promise<string | undefined> {
  const folder = await findFinished(storage, pointerOf(storage, await digestOf(wheel)));
  if (folder === undefined) {
    return undefined;
  }
  const now = new Date();
  await utimes(folder, now, now).catch(() => undefined); // it is in use: `sweep` goes by this time
  return programIn(folder);
}

/** Has nobody find the environment for this wheel any more. Its folder stays: another window's server may run in it. */
export async function forgetEnvironment(storage: string, wheel: string): Promise<void> {
  await rm(pointerOf(storage, await digestOf(wheel)), { force: true });
}

/**
 * Makes the environment and returns the path of its `qwen-ls`. Several windows may do so at once: each works in a
 * folder of its own, and the first to finish wins. Throws a Failure that says what is missing.
 */
export async function makeEnvironment(making: Making): Promise<string> {
  const { storage, wheel, report, signal } = making;
  await mkdir(storage, { recursive: true });
  report("looking for Python");
  const python = await findPython(making);
  const digest = await digestOf(wheel);
  const folder = path.join(storage, `server-${digest}-${randomBytes(4).toString("hex")}`);
  const how: Running = signal === undefined ? { cwd: storage } : { cwd: storage, signal };
  try {
    report("making an environment");
    await step(making, python, ["-I", "-m", "venv", folder], how, "Python could not make an environment");
    report("installing the server and what it needs");
    const inside = path.join(folder, IS_WINDOWS ? "Scripts/python.exe" : "bin/python");
    const install = ["-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input", wheel];
    await step(making, inside, install, how, "pip could not install the server");
    await step(making, programIn(folder), ["--version"], how, "The installed server does not run");
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
  const winner = await settle(storage, digest, folder);
  await sweep(storage, winner);
  return programIn(winner);
}

/** A Python that will do: the one that is set, else the first on PATH. */
async function findPython(making: Making): Promise<string> {
  if (making.python !== undefined) {
    const wrong = await probe(making.python, making);
    if (wrong === undefined) {
      return making.python;
    }
    throw noPython(`The setting qwenLs.server.python names ${making.python}, which ${wrong}`);
  }
  const seen: string[] = [];
  for (const name of NAMES) {
    const found = await findOnPath(name, making.environment, making.refused);
    const wrong = found === undefined ? undefined : await probe(found, making);
    if (found !== undefined && wrong === undefined) {
      return found;
    }
    if (found !== undefined) {
      seen.push(`${found} ${wrong ?? ""}`);
    }
  }
  throw noPython(seen.length === 0 ? "There is no Python on PATH" : `No Python on PATH will do: ${seen.join("; ")}`);
}

/** Why an interpreter will not do; undefined if it does. */
async function probe(python: string, making: Making): Promise<string | undefined> {
  try {
    const ended = await run(python, ["-I", "-c", PROBE], { cwd: making.storage, timeout: PROBE_MS });
    if (ended.code !== 0) {
      return /venv|ensurepip/.test(ended.stderr) ? "has no venv module (Debian: install python3-venv)" : "does not run";
    }
    const [major = 0, minor = 0] = ended.stdout.trim().split(".").map(Number);
    const isNew = major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1]);
    return isNew ? undefined : `is ${ended.stdout.trim()}`;
  } catch {
    return "does not run";
  }
}

function noPython(what: string): Failure {
  const remedy = `Install Python ${OLDEST.join(".")} or later with venv, or set qwenLs.server.python`;
  return new Failure(`${what}. ${remedy}.`, { kind: "no-python", remedy });
}

/** Runs one step; a failed one is a Failure with the last line of what the program said. */
async function step(
  making: Making,
  command: string,
  args: readonly string[],
  how: Running,
  what: string,
): Promise<void> {
  const ended = await run(command, args, how);
  making.log(ended.stdout + ended.stderr);
  if (ended.code !== 0) {
    const lines = ended.stderr.trim().split(/\r?\n/);
    const said = lines.findLast((line) => line.startsWith("ERROR:")) ?? lines.at(-1) ?? "";
    const remedy = "The output has the whole of it. Or install qwen-ls yourself and set qwenLs.server.path";
    throw new Failure(`${what}: ${said.replace(/^ERROR: /, "")}. ${remedy}.`, { kind: "no-server", remedy });
  }
}

/** Names the finished folder for everybody, unless another window was faster; the folder that counts. */
async function settle(storage: string, digest: string, folder: string): Promise<string> {
  const pointer = pointerOf(storage, digest);
  if ((await findFinished(storage, pointer)) === undefined) {
    await rm(pointer, { force: true });
  }
  try {
    await writeFile(pointer, path.basename(folder), { flag: "wx", mode: 0o600 });
    return folder;
  } catch {
    const winner = await findFinished(storage, pointer);
    if (winner === undefined) {
      return folder; // it works, though nobody else will find it
    }
    await rm(folder, { recursive: true, force: true });
    return winner;
  }
}

async function findFinished(storage: string, pointer: string): Promise<string | undefined> {
  try {
    const folder = path.join(storage, path.basename((await readFile(pointer, "utf8")).trim()));
    return (await isExecutable(programIn(folder))) ? folder : undefined;
  } catch {
    return undefined;
  }
}

/** Deletes what dead runs and older versions left; what was used this week may be in use. */
async function sweep(storage: string, winner: string): Promise<void> {
  for (const name of await readdir(storage)) {
    const entry = path.join(storage, name);
    if (!name.startsWith("server-") || entry === winner || entry === pointerFor(winner)) {
      continue;
    }
    const age = Date.now() - (await stat(entry)).mtimeMs;
    if (age > STALE_MS) {
      await rm(entry, { recursive: true, force: true });
    }
  }
}

async function digestOf(wheel: string): Promise<string> {
  return createHash("sha256")
    .update(await readFile(wheel))
    .digest("hex")
    .slice(0, 12);
}

function pointerOf(storage: string, digest: string): string {
  return path.join(storage, `server-${digest}.txt`);
}

function pointerFor(folder: string): string {
  return folder.replace(/-[0-9a-f]{8}$/, ".txt");
}

function programIn(folder: string): string {
  return path.join(folder, IS_WINDOWS ? "Scripts/qwen-ls.exe" : "bin/qwen-ls");
}
