// Handing a key over: a new file that only its owner can read, in the folder that the server names.
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { open, unlink } from "node:fs/promises";
import path from "node:path";

const FLAGS = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW; // the last is no more than 0 on Windows
const NAME_BYTES = 24; // 32 characters of base64url, as the contract wants

/**
 * Writes a key into the hand-over folder and runs `give` with the file's name. The server reads the file once and
 * deletes it; if it never got so far, it is deleted here.
 */
export async function handOver<Result>(
  folder: string,
  key: string,
  give: (keyFile: string) => Promise<Result>,
): Promise<Result> {
  const name = randomBytes(NAME_BYTES).toString("base64url");
  const file = path.join(folder, name);
  const handle = await open(file, FLAGS, 0o600);
  try {
    try {
      await handle.writeFile(key, "utf8");
    } finally {
      await handle.close();
    }
    return await give(name);
  } finally {
    await unlink(file).catch(() => undefined);
  }
}
