// Finding and running programs. No shell, no current directory, and nothing from a folder that is not trusted.
import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import path from "node:path";

const LONGEST_OUTPUT = 4 * 1024 * 1024; // bytes

/** What a program that has ended leaves. */
export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** How a program is run. */
export interface Running {
  readonly cwd: string;
  readonly signal?: AbortSignal;
  readonly timeout?: number; // milliseconds
}

/** Runs a program to its end. Rejects only when it cannot be run, is aborted or takes too long. */
export function run(command: string, args: readonly string[], how: Running): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const options = { ...how, maxBuffer: LONGEST_OUTPUT, windowsHide: true };
    const child = execFile(command, args, options, (error, stdout, stderr) => {
      if (error === null) {
        resolve({ code: 0, stdout, stderr });
      } else if (typeof error.code === "number" && error.killed !== true) {
        resolve({ code: error.code, stdout, stderr });
      } else {
        reject(new Error(error.message, { cause: error }));
      }
    });
    child.stdin?.end();
  });
}

/**
 * The absolute path of a program on PATH. Entries that are relative (they would mean the current directory) or lie
 * in one of the `refused` folders are passed over.
 */
export async function findOnPath(
  name: string,
  environment: NodeJS.ProcessEnv,
  refused: readonly string[] = [],
): Promise<string | undefined> {
  const isWindows = process.platform === "win32";
  const entries = (environment["PATH"] ?? environment["Path"] ?? "").split(path.delimiter);
  const endings = isWindows ? [".exe", ".cmd", ".bat"] : [""];
  for (const entry of entries) {
    if (!path.isAbsolute(entry) || refused.some((folder) => isWithin(entry, folder))) {
      continue;
    }
    for (const ending of endings) {
      const candidate = path.join(entry, name + ending);
      if (await isExecutable(candidate)) {
        return candidate;
      }
    }
  }
  return undefined;
}

/** Whether a path is a folder or lies in it. */
export function isWithin(inner: string, folder: string): boolean {
  const way = path.relative(folder, inner);
  return way === "" || (!way.startsWith("..") && !path.isAbsolute(way));
}

/** Whether there is a program. */
export async function isExecutable(file: string): Promise<boolean> {
  try {
    await access(file, constants.X_OK);
    return (await stat(file)).isFile();
  } catch {
    return false;
  }
}
