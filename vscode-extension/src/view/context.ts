// What goes along with a message, and how an earlier message tells of what went along with it.
import path from "node:path";
import { fileURLToPath } from "node:url";
import * as v from "valibot";

const Line = v.pipe(v.number(), v.integer(), v.minValue(0));

export const Selection = v.object({
  uri: v.string(),
  startLine: Line,
  endLine: Line,
  text: v.string(),
  languageId: v.string(),
});

export const Diagnostic = v.object({
  uri: v.string(),
  line: Line,
  severity: v.picklist(["error", "warning", "information", "hint"]),
  message: v.string(),
  source: v.optional(v.string()),
  code: v.optional(v.string()),
});

/** `context` of `qwen.chat.send`. Lines count from 0, the end is excluded. */
export const ChatContext = v.object({
  selection: v.optional(Selection),
  files: v.optional(v.array(v.string())),
  diagnostics: v.optional(v.array(Diagnostic)),
});

export type Selection = v.InferOutput<typeof Selection>;
export type Diagnostic = v.InferOutput<typeof Diagnostic>;
export type ChatContext = v.InferOutput<typeof ChatContext>;

/** Both together; of two selections the later one, for a message carries one. */
export function merged(one: ChatContext, other: ChatContext): ChatContext {
  const files = [...new Set([...(one.files ?? []), ...(other.files ?? [])])];
  const diagnostics = [...(one.diagnostics ?? []), ...(other.diagnostics ?? [])];
  const selection = other.selection ?? one.selection;
  return {
    ...(selection === undefined ? {} : { selection }),
    ...(files.length === 0 ? {} : { files }),
    ...(diagnostics.length === 0 ? {} : { diagnostics }),
  };
}

/** Whether there is nothing. */
export function isEmpty(context: ChatContext): boolean {
  return Object.keys(merged({}, context)).length === 0;
}

/**
 * An earlier message of a conversation in a folder, with what went along as part of its text: the server attaches
 * things to the last message alone. Files are mentioned: they go along as they are now, and one that has gone, or has
 * become too large, is a note there and no failure. The mentions come first, where no fence that the text leaves open
 * can hold them.
 */
export function retold(text: string, context: ChatContext, folder?: string): string {
  const mentions = (context.files ?? []).map((file) => mention(file, folder)).filter((one) => one !== undefined);
  const blocks = mentions.length === 0 ? [text] : [mentions.join("\n"), text];
  const { selection, diagnostics } = context;
  if (selection !== undefined) {
    const place = `${nameOf(selection.uri)}, ${lines(selection)}`;
    blocks.push(`Selection in ${place}:\n${fenced(selection.text, selection.languageId)}`);
  }
  if (diagnostics !== undefined && diagnostics.length > 0) {
    blocks.push(`Diagnostics:\n${fenced(diagnostics.map(told).join("\n"), "")}`);
  }
  return blocks.join("\n\n");
}

/** The last part of a URI's path, as people read it. */
export function nameOf(uri: string): string {
  const last = uri.split("/").at(-1) ?? uri;
  try {
    return decodeURIComponent(last);
  } catch {
    return last; // not encoded as it should be
  }
}

/** Lines as people count them. */
export function lines(selection: Pick<Selection, "startLine" | "endLine">): string {
  const [first, last] = [selection.startLine + 1, Math.max(selection.endLine, selection.startLine + 1)];
  return first === last ? `line ${first}` : `lines ${first} to ${last}`;
}

/** The mention of a file, by its path in the folder if it is there; undefined for one that none can name. */
function mention(file: string, folder: string | undefined): string | undefined {
  const whole = pathOf(file);
  const root = folder === undefined ? undefined : pathOf(folder);
  if (whole === undefined || /["\n\0]/.test(whole)) {
    return undefined;
  }
  const inside = root === undefined ? whole : path.relative(root, whole);
  const isInside = inside !== "" && !path.isAbsolute(inside) && inside.split(path.sep)[0] !== "..";
  return `@file:"${isInside ? inside.split(path.sep).join("/") : whole}"`;
}

function pathOf(uri: string): string | undefined {
  try {
    return fileURLToPath(uri);
  } catch {
    return undefined; // on no disk
  }
}

function told(diagnostic: Diagnostic): string {
  const by = [diagnostic.source, diagnostic.code].filter((part) => part !== undefined).join(" ");
  const line = `${nameOf(diagnostic.uri)}:${diagnostic.line + 1} ${diagnostic.severity}: ${diagnostic.message}`;
  return by === "" ? line : `${line} [${by}]`;
}

function fenced(text: string, language: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map((run) => run[0].length));
  const fence = "`".repeat(longest + 1);
  return `${fence}${language}\n${text}${text.endsWith("\n") ? "" : "\n"}${fence}`;
}
