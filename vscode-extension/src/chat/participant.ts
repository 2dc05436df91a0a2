// @qwen in VS Code's own chat.
import * as vscode from "vscode";
import type { ChatContext, ChatMessage, ChatSelection } from "../contract.gen.ts";
import type { Core } from "../core.ts";
import { failureOf } from "../failure.ts";
import { shownFolder } from "../folders.ts";
import { VENDOR } from "./models.ts";

const ID = "qwen-ls.qwen";

/** Registers the participant. */
export function registerParticipant(core: Core): vscode.Disposable {
  const participant = vscode.chat.createChatParticipant(ID, (request, context, stream, token) =>
    answer(core, request, context, stream, token),
  );
  participant.iconPath = vscode.Uri.joinPath(core.context.extensionUri, "media", "icon.png");
  return vscode.Disposable.from(participant);
}

async function answer(
  core: Core,
  request: vscode.ChatRequest,
  context: vscode.ChatContext,
  stream: vscode.ChatResponseStream,
  token: vscode.CancellationToken,
): Promise<vscode.ChatResult> {
  const messages: ChatMessage[] = [...historyOf(context), { role: "user", content: request.prompt }];
  const model = request.model.vendor === VENDOR ? request.model.id : undefined;
  try {
    const { model: served, requestedModel } = await core.server.chat(
      { messages, model, uri: shownFolder()?.uri.toString(), context: contextOf(request.references) },
      (delta) => {
        if (delta.kind === "delta") {
          stream.markdown(delta.text);
        }
      },
      token,
    );
    return { metadata: { served, requestedModel } };
  } catch (error) {
    return failed(error, stream);
  }
}

/** The failure as VS Code's chat shows it, with the server's next steps as buttons. */
function failed(error: unknown, stream: vscode.ChatResponseStream): vscode.ChatResult {
  const failure = failureOf(error);
  for (const { title, command, argument } of failure.data.actions ?? []) {
    stream.button({ title, command, arguments: [argument ?? {}] });
  }
  return { errorDetails: { message: failure.message } };
}

/** What was said before, in this conversation with this participant. */
function historyOf(context: vscode.ChatContext): ChatMessage[] {
  return context.history.flatMap((turn): ChatMessage[] => {
    if (turn instanceof vscode.ChatRequestTurn) {
      return [{ role: "user", content: turn.prompt }];
    }
    const content = turn.response
      .map((part) => (part instanceof vscode.ChatResponseMarkdownPart ? part.value.value : ""))
      .join("");
    return content === "" ? [] : [{ role: "assistant", content }];
  });
}

/** What is attached to a message, for the server to read: files by their URIs, and one selection. */
function contextOf(references: readonly vscode.ChatPromptReference[]): ChatContext {
  const values = references.map(({ value }) => value);
  const place = values.find((value) => value instanceof vscode.Location);
  const files = values.filter((value) => value instanceof vscode.Uri).map((uri) => uri.toString());
  return { files, selection: place && selectionOf(place) };
}

function selectionOf({ uri, range }: vscode.Location): ChatSelection {
  return { uri: uri.toString(), startLine: range.start.line, endLine: range.end.line };
}
